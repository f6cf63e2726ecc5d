"""Prefixes of sites, one for each layer."""

from collections.abc import Callable
from typing import Any

from numpyro.primitives import CondIndepStackFrame, Messenger

from ._typing import Message

#: What joins a layer's name and its site's. ArviZ 1 cannot store names with a slash.
DIVIDER = "."


def join(prefix: str, name: str) -> str:
    """The full name of the site `name` in the layer that is called `prefix`.

    Example:
        >>> join("hidden", "weight")
        'hidden.weight'
    """
    return f"{prefix}{DIVIDER}{name}"


class scope(Messenger):  # noqa: N801
    """Prefix the sites and plates of what runs inside: ``weight`` becomes ``hidden.weight``.

    `numpyro.handlers.scope` prefixes whatever passes it, so a handler around the layer that
    answers one message by sending another (`reparam`, `do`) would have its own message
    prefixed once more. Here, while a message is on its way through the handlers outside,
    what those send keeps its name: a layer's site then behaves like a plain one.

    Args:
        fn: A function, when used as a decorator.
        prefix: What stands before the dot.

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
