"""Quantiles by bisection: the smallest number or count at which a CDF reaches a probability."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

# Largest quantile of counts that is searched: sums of two such integers fit 32 bits.
_MOST = 2**30

Cdf = Callable[[Array], Array]


def first_number(cdf: Cdf, q: Array, lower: Array, upper: Array) -> Array:
    """Bisection over the order of floating-point numbers, not over their values.

    It takes at most as many steps as a number has bits, wherever the quantile is, and is
    accurate to the last bit.
    """

    def is_reached(rank: Array) -> Array:
        y = _number_at(rank, q.dtype)
        found = cdf(y)
        # Where a CDF overflows, y is far in the tail on its side of zero.
        return (found >= q) | (jnp.isnan(found) & (y > 0))

    first = _bisect(is_reached, _rank_of(lower), _rank_of(upper))
    return _number_at(first, q.dtype) + 0.0  # no negative zero


def first_integer(cdf: Cdf, q: Array, lower: Array, upper: Array) -> Array:
    """Bisection over whole numbers."""
    low = jnp.clip(lower, -_MOST, _MOST).astype(jnp.int32)
    high = jnp.clip(upper, -_MOST, _MOST).astype(jnp.int32)
    first = _bisect(lambda n: cdf(n.astype(q.dtype)) >= q, low, high)
    return first.astype(q.dtype)


def _bisect(is_reached: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The first integer from `low` to `high` at which `is_reached` holds, otherwise `high`."""

    def halve(bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low & high) + ((low ^ high) >> 1)  # their mean, rounded down
        reached = is_reached(middle)
        is_open = low < high
        return (
            jnp.where(is_open & ~reached, middle + 1, low),
            jnp.where(is_open & reached, middle, high),
        )

    return lax.while_loop(lambda b: jnp.any(b[0] < b[1]), halve, (low, high))[1]


def _rank_of(x: Array) -> Array:
    """Rank of a number among those of its type, as an integer in the same order."""
    bits = lax.bitcast_convert_type(x, jnp.dtype(f"int{8 * x.dtype.itemsize}"))
    return jnp.where(bits < 0, bits ^ jnp.iinfo(bits.dtype).max, bits)


def _number_at(rank: Array, dtype: Any) -> Array:
    bits = jnp.where(rank < 0, rank ^ jnp.iinfo(rank.dtype).max, rank)
    return lax.bitcast_convert_type(bits, dtype)
