"""Products of two columns."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Num

from ._fourier import as_float


def interaction_features(
    x: Num[ArrayLike, "*batch d"], pairs: Sequence[Sequence[int]] | Int[np.ndarray, "k 2"]
) -> Float[Array, "*batch k"]:
    """Products of pairs of columns.

    Args:
        x: Rows, (N, D).
        pairs: Pairs of column numbers, counted from zero; without pairs there are no features.

    Raises:
        ValueError: If `pairs` is not a list of pairs, or names a column that `x` lacks.
        TypeError: If a column number is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> interaction_features(jnp.array([[2.0, 3.0, 5.0]]), [(0, 1), (1, 2)]).tolist()
        [[6.0, 15.0]]
    """
    x = as_float(x)
    return _products(x, checked_pairs("pairs", pairs, x.shape[-1]))


@partial(jax.jit, static_argnums=1)
def _products(
    x: Float[Array, "*batch d"], pairs: tuple[tuple[int, int], ...]
) -> Float[Array, "*batch k"]:
    columns = np.array(pairs, int).reshape(-1, 2)
    return x[..., columns[:, 0]] * x[..., columns[:, 1]]


def checked_pairs(
    name: str, pairs: Any, num_columns: int | None = None
) -> tuple[tuple[int, int], ...]:
    """`pairs` as a tuple, after a check of their shape and columns."""
    try:
        found = np.asarray(pairs)
    except ValueError:  # rows of different lengths
        raise ValueError(f"`{name}` must be pairs of columns, got {pairs}.") from None
    if found.size == 0 and found.ndim:
        return ()
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(
            f"`{name}` must be pairs of columns, shape (K, 2), got shape {found.shape}."
        )
    if found.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be integers, got entries of type {found.dtype}.")
    if found.min() < 0 or (num_columns is not None and found.max() >= num_columns):
        known = "0 or above" if num_columns is None else f"0 to {num_columns - 1}"
        raise ValueError(f"`{name}` must name columns {known}, got {found.tolist()}.")
    return tuple((int(i), int(j)) for i, j in found)
