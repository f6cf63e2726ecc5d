"""Nonlinear maps of random projections."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks


def paired_features(z: Float[Array, "*batch m"]) -> Float[Array, "*batch m2"]:
    r"""Cosines, then sines, of the projections $z$.

    $$\phi(z) = M^{-1/2}\,[\cos z_1, \dots, \cos z_M, \sin z_1, \dots, \sin z_M]$$

    Inner products are $\phi(z)\cdot\phi(z') = \frac1M\sum_j \cos(z_j - z'_j)$; those of a
    row with itself are exactly 1.

    Args:
        z: Projections, (*batch, M), in radians.

    Returns:
        The features, (*batch, 2 M).

    Example:
        >>> import jax.numpy as jnp
        >>> paired_features(jnp.zeros((1, 4)))[0].tolist()
        [0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]

    References:
        Sutherland and Schneider (2015), "On the error of random Fourier features", UAI,
        equation 1.
    """
    return jnp.concatenate([jnp.cos(z), jnp.sin(z)], -1) * math.sqrt(1 / z.shape[-1])


def phased_features(z: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
    r"""Cosines of the projections $z$, which contain a random phase.

    $$\phi(z) = (2/M)^{1/2}\,[\cos z_1, \dots, \cos z_M]$$

    Args:
        z: Projections plus phases, (*batch, M), in radians.

    Returns:
        The features, (*batch, M).

    Example:
        >>> import jax.numpy as jnp
        >>> phased_features(jnp.zeros((1, 2)))[0].tolist()
        [1.0, 1.0]

    References:
        Rahimi and Recht (2007), "Random features for large-scale kernel machines", NeurIPS,
        algorithm 1.
    """
    return jnp.cos(z) * math.sqrt(2 / z.shape[-1])


def arc_cosine_features(
    z: Float[Array, "*batch m"], order: int
) -> Float[Array, "*batch m"]:
    r"""One-sided powers of the projections $z$.

    $$\phi(z) = (2/M)^{1/2}\,[\max(0, z_1)^p, \dots, \max(0, z_M)^p]$$

    Args:
        z: Projections, (*batch, M).
        order: The power $p$: 0 (the indicator of $z > 0$), 1 or 2.

    Returns:
        The features, (*batch, M).

    Raises:
        ValueError: If `order` is another number.

    Example:
        >>> import jax.numpy as jnp
        >>> arc_cosine_features(jnp.asarray([[-1.0, 3.0]]), 2)[0].tolist()
        [0.0, 9.0]

    References:
        Cho and Saul (2009), "Kernel methods for deep learning", NeurIPS, equation 1.
    """
    order = _checks.one_of("order", order, (0, 1, 2))
    positive = z > 0
    powers = (
        positive.astype(z.dtype) if order == 0 else jnp.where(positive, z, 0.0) ** order
    )
    return powers * math.sqrt(2 / z.shape[-1])
