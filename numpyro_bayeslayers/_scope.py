"""Prefixes of site names, one per layer."""

from collections.abc import Callable
from typing import Any

from numpyro.primitives import CondIndepStackFrame, Messenger

from ._typing import Message

#: The separator of a layer's name and its site's. ArviZ 1 cannot store names with a slash.
DIVIDER = "."


def join(prefix: str, name: str) -> str:
    """The full name of the site `name` in the layer with the name `prefix`.

    Example:
        >>> join("hidden", "weight")
        'hidden.weight'
    """
    return f"{prefix}{DIVIDER}{name}"


class scope(Messenger):  # noqa: N801
    """Prefix the sites and plates that are created inside: ``weight`` becomes ``hidden.weight``.

    `numpyro.handlers.scope` prefixes every message that passes it, so an outer handler that
    answers a message by sending another one (`reparam`, `do`) would get a second prefix. Here,
    messages that outer handlers send while they process a site keep their names, so a layer's
    site behaves like a plain one.

    Args:
        fn: A function, when used as a decorator.
        prefix: The part of the name before the dot.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> from numpyro.handlers import seed, trace
        >>> def model():
        ...     with scope(prefix="hidden"):
        ...         numpyro.sample("weight", dist.Normal(0, 1))
        >>> list(trace(seed(model, 0)).get_trace())
        ['hidden.weight']
    """

    def __init__(self, fn: Callable[..., Any] | None = None, *, prefix: str) -> None:
        self.prefix = prefix
        self._on_its_way: Message | None = None
        self._renamed: dict[CondIndepStackFrame, CondIndepStackFrame] = {}
        super().__init__(fn)

    def __enter__(self) -> Any:
        self._on_its_way = None
        return super().__enter__()

    def process_message(self, msg: Message) -> None:
        frames = msg.get("cond_indep_stack") or []
        if self._on_its_way is None:
            self._renamed = {f: f._replace(name=join(self.prefix, f.name)) for f in frames}
            if msg.get("name"):
                self._on_its_way = msg
                msg["name"] = join(self.prefix, msg["name"])
        if frames:
            msg["cond_indep_stack"] = [self._renamed.get(f, f) for f in frames]

    def postprocess_message(self, msg: Message) -> None:
        if msg is self._on_its_way:
            self._on_its_way = None
