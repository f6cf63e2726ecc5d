"""Drawn values that know their plates and where they came from."""

from typing import Any, NamedTuple

import numpyro.distributions as dist
from jaxtyping import Array


class Site(NamedTuple):
    """A drawn value that still knows where it came from.

    `value` has shape (*plates, *event) with `event_dim` event axes; `name` is the full name
    of the site in the trace; `infer` is the site's dictionary of the same name in NumPyro.
    """

    value: Array
    name: str = ""
    event_dim: int = 0
    infer: dict[str, Any] = {}

    def line_up(self, rank: int) -> Array:
        """The value with singleton axes between plates and event, for event rank `rank`."""
        return line_up(self.value, self.event_dim, rank)


def line_up(value: Array, event_dim: int, rank: int) -> Array:
    """Insert singleton axes so that plates of `value` line up with those of rank `rank`.

    (G, *event) becomes (G, 1, ..., 1, *event) with `rank` axes on the right of the plate;
    a value without plates comes back as it is.

    Example:
        >>> import jax.numpy as jnp
        >>> line_up(jnp.ones((4, 3)), event_dim=1, rank=2).shape
        (4, 1, 3)
        >>> line_up(jnp.ones(3), event_dim=1, rank=2).shape
        (3,)
    """
    plates = value.ndim - event_dim
    if plates <= 0 or rank <= event_dim:
        return value
    ones = (1,) * (rank - event_dim)
    return value.reshape(value.shape[:plates] + ones + value.shape[plates:])


def factorized_normal(fn: dist.Distribution | None) -> dist.Normal | None:
    """The elementwise normal behind `fn`, or None if there is none."""
    while isinstance(
        fn, (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)
    ):
        fn = fn.base_dist
    return fn if isinstance(fn, dist.Normal) else None
