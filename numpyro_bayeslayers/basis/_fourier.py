"""Fourier features of doubling frequency."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks


def fourier_features(
    x: Num[ArrayLike, "*batch"], max_degree: int, *, rescale: bool = False
) -> Float[Array, "*batch m"]:
    r"""Cosines and sines of doubling frequency.

    $$\cos(2\pi 2^d x), \; d = 0 \dots m - 1, \quad\text{then}\quad \sin(2\pi 2^d x)$$

    Args:
        x: Values in cycles of the lowest frequency, of any shape, usually (N,).
        max_degree: Number of frequencies $m$; zero gives no features.
        rescale: Whether to divide both features of degree $d$ by $d + 1$.

    Returns:
        The features on a new last axis of size $2 m$.

    Raises:
        ValueError: If `max_degree` is negative.
        TypeError: If `max_degree` is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> fourier_features(jnp.array([0.0, 0.125]), 1).round(3).tolist()
        [[1.0, 0.0], [0.707..., 0.707...]]

    References:
        Saad, Burnim, Carroll, Patton, Köster, Saurous, Hoffman (2024), "Scalable
        spatiotemporal prediction with Bayesian neural fields", Nature Communications 15,
        methods.
    """
    max_degree = _checks.count("max_degree", max_degree)
    rescale = _checks.switch("rescale", rescale)
    return _fourier_features(as_float(x), max_degree, rescale)


@partial(jax.jit, static_argnums=(1, 2))
def _fourier_features(
    x: Float[Array, "*batch"], max_degree: int, rescale: bool
) -> Float[Array, "*batch m"]:
    # Powers of two and the subtraction of whole cycles are exact in floating point.
    cycles = x[..., None] * (2.0 ** np.arange(max_degree)).astype(x.dtype)
    return waves(cycles - jnp.round(cycles), range(1, max_degree + 1), rescale)


def waves(
    cycles: Float[Array, "*batch f"], divisors: Sequence[int], rescale: bool
) -> Float[Array, "*batch m"]:
    """The cosines, then the sines of phases in cycles; divided by the divisors if asked."""
    angle = cycles * (2 * np.pi)
    features = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    if not rescale:
        return features
    return features / np.tile(np.array(divisors, features.dtype), 2)


def as_float(x: ArrayLike) -> Array:
    """`x` as an array of floating point, of its own precision if it has one."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))
