"""Standardization to zero mean and unit scale, and its inverse."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from ._fourier import as_float


def standardize(
    x: Num[ArrayLike, "*batch"], mu: Num[ArrayLike, "*rows"], std: Num[ArrayLike, "*rows"]
) -> Float[Array, "*batch"]:
    r"""The values in units of a scale from a center, $(x - \mu) / \sigma$.

    Args:
        x: Values, usually rows (N, D).
        mu: Centers $\mu$, a number or one for each column.
        std: Standard deviations $\sigma$, positive, a number or one for each column.

    Raises:
        ValueError: If a standard deviation is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> standardize(jnp.array([[1.0, 10.0]]), jnp.array([0.0, 4.0]), 2.0).tolist()
        [[0.5, 3.0]]
    """
    _checks.all_positive("std", std)
    return (as_float(x) - jnp.asarray(mu)) / jnp.asarray(std)


def unstandardize(
    z: Num[ArrayLike, "*batch"], mu: Num[ArrayLike, "*rows"], std: Num[ArrayLike, "*rows"]
) -> Float[Array, "*batch"]:
    r"""The values that `standardize` made, in their own units, $\mu + \sigma z$.

    Args:
        z: Standardized values, usually rows (N, D).
        mu: Centers $\mu$, a number or one for each column.
        std: Standard deviations $\sigma$, positive, a number or one for each column.

    Raises:
        ValueError: If a standard deviation is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> unstandardize(jnp.array([[0.5, 3.0]]), jnp.array([0.0, 4.0]), 2.0).tolist()
        [[1.0, 10.0]]
    """
    _checks.all_positive("std", std)
    return jnp.asarray(mu) + jnp.asarray(std) * as_float(z)
