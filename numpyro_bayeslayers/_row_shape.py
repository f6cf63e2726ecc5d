"""Check that weights and masks of rows do not reach sites without rows."""

import itertools

import jax.numpy as jnp
import numpyro.distributions as dist

from ._typing import Message
from .distributions._support import law_of, nested

_WRONG = (
    "`numpyro.handlers.{what}` of shape {shape} reaches the site {name!r}, which has {own}. "
    "{mend}"
)
_PARAMETER = (
    "A parameter has no rows, so its prior would be weighted or masked once per row. Call "
    "layers outside the handler; for the rows of a link use `weights=` or `mask=`: "
    "gaussian_link(mu, y, weights=w, mask=is_seen)."
)
_OBSERVED = (
    "Give the handler one number per observation, or leave it out and give the link `weights=` "
    "or `mask=`."
)


def check_rows(msg: Message) -> None:
    """Check that outer `scale` and `mask` handlers do not add axes to a site.

    Args:
        msg: The final message of a sample site.

    Raises:
        ValueError: If they do: NumPyro would broadcast, and count the site several times or
            draw it for each row.
    """
    sizes = {frame.dim: frame.size for frame in msg["cond_indep_stack"]}
    width = max((-dim for dim in sizes), default=0)
    own = tuple(sizes.get(dim, 1) for dim in range(-width, 0))
    # A divergence is an observed factor that belongs to parameters.
    is_data = msg["is_observed"] and not isinstance(law_of(msg["fn"]), dist.Unit)
    if is_data:
        shape = jnp.shape(msg["value"])
        own = jnp.broadcast_shapes(shape[: len(shape) - msg["fn"].event_dim], own)
    for what, shape in _weighing(msg):
        if not _broadcasts(shape, own):
            if is_data:
                text, mend = f"observations of shape {own}", _OBSERVED
            else:
                text, mend = f"plates of shape {own}" if own else "no plates", _PARAMETER
            name = msg["name"]
            raise ValueError(
                _WRONG.format(what=what, shape=shape, name=name, own=text, mend=mend)
            )


def _weighing(msg: Message) -> list[tuple[str, tuple[int, ...]]]:
    """The handlers `scale` and `mask` that reached a message, with their shapes."""
    # A mask inside the event is part of the likelihood.
    outer = itertools.takewhile(
        lambda fn: not isinstance(fn, dist.Independent), nested(msg["fn"])
    )
    masks = [
        ("mask", jnp.shape(fn._mask))
        for fn in outer
        if isinstance(fn, dist.MaskedDistribution)
    ]
    scale = msg["scale"]
    return ([] if scale is None else [("scale", jnp.shape(scale))]) + masks


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(a in (1, b) for a, b in pairs)
