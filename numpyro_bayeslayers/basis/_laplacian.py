"""Eigenfunctions of the Laplacian on a box."""

import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import _checks


def laplacian_frequencies(
    num_basis_per_dim: Sequence[int], L: Sequence[float]
) -> np.ndarray:
    r"""Square roots of the Laplacian's eigenvalues on a box, one vector for each basis function.

    $$\omega_j = \Big(\frac{j_1 \pi}{2 L_1}, \dots, \frac{j_D \pi}{2 L_D}\Big),
    \qquad j_d = 1, \dots, M_d,$$

    the last dimension running fastest; the eigenvalue is $|\omega_j|^2$.

    Args:
        num_basis_per_dim: $M_1, \dots, M_D$.
        L: Half the sides of the box, positive, in the units of the input.

    Returns:
        Frequencies in radians per unit of the input, $(\prod_d M_d, D)$, float64.

    Raises:
        ValueError: If a number is not positive.
        TypeError: If a size is not an integer.

    Example:
        >>> laplacian_frequencies((2, 1), (0.5, 1.0)).round(2).tolist()
        [[3.14, 1.57], [6.28, 1.57]]

    References:
        Riutort-Mayol, Bürkner, Andersen, Solin, Vehtari (2023), "Practical Hilbert space
        approximate Bayesian Gaussian processes for probabilistic programming", Statistics
        and Computing 33, sections 3.1 and 3.2.
    """
    num_basis_per_dim = _checks.sequence(_checks.size)(
        "num_basis_per_dim", num_basis_per_dim
    )
    L = _checks.sequence(_checks.positive)("L", L)
    sides = [
        np.arange(1, m + 1) * math.pi / (2 * half)
        for m, half in zip(num_basis_per_dim, L, strict=True)
    ]
    return np.array(list(itertools.product(*sides)))


def laplacian_eigenfunctions(
    x: Float[Array, "*batch d"],
    num_basis_per_dim: Sequence[int],
    L: Sequence[float],
) -> Float[Array, "*batch m"]:
    r"""Eigenfunctions of the Laplacian on a box, zero on its border.

    $$\phi_j(x) = \prod_{d=1}^{D} L_d^{-1/2}
    \sin\Big(\frac{j_d \pi (x_d + L_d)}{2 L_d}\Big),$$

    in the order of `laplacian_frequencies`.

    Args:
        x: Points, (*batch, D), within $[-L_d, L_d]$.
        num_basis_per_dim: $M_1, \dots, M_D$.
        L: Half the sides of the box, positive, in the units of the input.

    Returns:
        The functions' values, $(*batch, \prod_d M_d)$.

    Example:
        >>> import jax.numpy as jnp
        >>> laplacian_eigenfunctions(jnp.zeros((1, 1)), (1,), (1.0,)).round(3).tolist()
        [[1.0]]

    References:
        Solin and Särkkä (2020), "Hilbert space methods for reduced-rank Gaussian process
        regression", Statistics and Computing 30; Riutort-Mayol et al. (2023), section 3.2.
    """
    out = jnp.ones(x.shape[:-1] + (1,), x.dtype)
    for d, (m, half) in enumerate(zip(num_basis_per_dim, L, strict=True)):
        angle = (x[..., d, None] + half) * (math.pi / (2 * half))
        side = jnp.sin(angle * np.arange(1, m + 1, dtype=x.dtype)) / math.sqrt(half)
        both = out[..., :, None] * side[..., None, :]
        out = both.reshape(x.shape[:-1] + (out.shape[-1] * m,))
    return out
