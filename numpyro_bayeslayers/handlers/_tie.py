"""Reuse one set of weights."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from numpyro.primitives import _PYRO_STACK, Messenger

from .. import primitives
from .._typing import Message

# The name of a message when this handler saw it.
_HERE = "_bayeslayers_tied_as"


class Remember(Messenger):
    """Gives each repeated site the value of its first occurrence."""

    def __init__(self, fn: Callable[..., Any] | None = None) -> None:
        self._first: dict[str, tuple[Any, dict[str, Any], tuple[int, ...]]] = {}
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if not _can_tie(msg):
            return
        # Outer scopes prefix the name before the message returns.
        msg[_HERE] = name = msg["name"]
        if name not in self._first:
            return
        value, infer, plates = self._first[name]
        if plates != primitives.plate_shape():
            raise ValueError(
                f"The tied site {name!r} was drawn inside plates of sizes {plates} and "
                f"is used again inside plates of sizes {primitives.plate_shape()}. Call the "
                "layer inside the same plates each time."
            )
        if msg["type"] != "deterministic":
            msg["value"] = value
        msg["infer"] = infer
        msg["stop"] = True
        msg[primitives.TIED] = True

    def postprocess_message(self, msg: Message) -> None:
        if _HERE in msg and not msg.get(primitives.TIED):
            self._first[msg[_HERE]] = (
                msg["value"],
                msg.get("infer", {}),
                primitives.plate_shape(),
            )


class tie(Remember):  # noqa: N801
    """Reuse values: a site that occurs again keeps its first value.

    While the handler is active, the first sample or param statement of each name is an ordinary
    site; any later one of that name gets the same value and adds no second site. Closed-form
    divergences are counted once. Data are never tied: a second observed site of the same name
    remains an error.

    Args:
        fn: A layer, to be called several times inside the ``with`` block, or a whole model, in
            which repeated layers then share their weights.

    Raises:
        ValueError: If a site occurs again inside different plates.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, trace
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> layer = DenseReparameterization(3, 3, name="twice")
        >>> def model(x):
        ...     with tie(layer) as shared:
        ...         return shared(shared(x))
        >>> sorted(trace(seed(model, 0)).get_trace(jnp.ones((5, 3))))
        ['twice.bias', 'twice.weight']
    """

    def __enter__(self) -> "tie":
        self._first = {}
        super().__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._first = {}
        return super().__exit__(exc_type, exc_value, traceback)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer; inside the ``with`` block, its earlier values are reused."""
        if self in _PYRO_STACK and self.fn is not None:
            return self.fn(*args, **kwargs)
        return super().__call__(*args, **kwargs)


def _can_tie(msg: Message) -> bool:
    if msg["type"] == "sample":
        return not msg["is_observed"] or primitives.DIVERGENCE in msg["infer"]
    return msg["type"] in ("param", "deterministic")
