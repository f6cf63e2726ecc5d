"""Real spherical harmonics of directions."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@partial(jax.jit, static_argnums=1)
def spherical_harmonics(
    directions: Float[Array, "*batch 3"], l_max: int
) -> Float[Array, "*batch m"]:
    """All real harmonics up to degree `l_max`, degree by degree, orders ascending.

    They are products of powers of x + iy and polynomials of z, so nothing is singular at the
    poles. The recurrence in the degree runs over whole harmonics, for all orders at once, and
    starts at equal degree and order: its numbers are bounded, and it is stable upward.
    """
    x, y, z = jnp.moveaxis(_normalized(directions), -1, 0)[..., None]
    orders = np.arange(l_max + 1)

    def next_degree(carry: Any, factors: dict[str, Any]) -> Any:
        # The carry: cosine and sine of equal degree and order; all orders of the last two degrees.
        cosine, sine, last, before = carry
        cosine, sine = cosine * x - sine * y, cosine * y + sine * x
        cosine, sine = factors["equal"] * cosine, factors["equal"] * sine
        new = factors["rise"] * z * last - factors["fall"] * before
        new = new + factors["corner"] * jnp.stack([cosine, sine])
        return (cosine, sine, new, last), new

    cosine = jnp.full_like(x, 1 / np.sqrt(4 * np.pi))
    first = jnp.stack([cosine, jnp.zeros_like(x)]) * (orders == 0)
    start = (cosine, jnp.zeros_like(x), first, jnp.zeros_like(first))
    factors = {name: v.astype(x.dtype) for name, v in _factors(l_max).items()}
    _, higher = jax.lax.scan(next_degree, start, factors)
    # (degree, part, *batch, order) to (*batch, everything), then pick.
    table = jnp.moveaxis(jnp.concatenate([first[None], higher]), (0, 1), (-3, -2))
    table = table.reshape(x.shape[:-1] + (-1,))
    places = [
        (degree * 2 + (order < 0)) * (l_max + 1) + abs(order)
        for degree in range(l_max + 1)
        for order in range(-degree, degree + 1)
    ]
    return table[..., np.array(places)]


def _factors(l_max: int) -> dict[str, np.ndarray]:
    """Factors of the recurrence, one row for each degree from 1."""
    degrees, orders = np.arange(1, l_max + 1)[:, None], np.arange(l_max + 1)
    lower = orders < degrees
    square, order = degrees**2, np.where(lower, orders, 0) ** 2
    previous = (degrees - 1) ** 2
    # At degree 1 there is no degree two below; the inner maximum avoids a division by zero.
    ratio = np.maximum(previous - order, 0) / np.maximum(4 * previous - 1, 1)
    rise = np.sqrt((4 * square - 1) / (square - order)) * lower
    # Orders above zero have a factor of sqrt(2), which enters at order one.
    equal = np.sqrt((2 * degrees + 1) / (2 * degrees) * np.where(degrees == 1, 2, 1))
    return {
        "equal": equal,
        "rise": rise,
        "fall": rise * np.sqrt(ratio),
        "corner": orders == degrees,
    }


def _normalized(directions: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Normalize to unit length; the zero vector is unchanged, with a finite gradient."""
    square = jnp.sum(jnp.square(directions), axis=-1, keepdims=True)
    return directions / jnp.sqrt(jnp.where(square > 0, square, 1.0))
