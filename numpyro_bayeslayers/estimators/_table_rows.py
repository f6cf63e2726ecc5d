"""Rows of a table as standardized numbers, with the encoding learned from the first table."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..preprocessing import Schema, fit_schema
from ._scikit_learn import check_sample_weight

Matrix = Float[np.ndarray, "n d"]


class Columns(NamedTuple):
    """The encoding of tables as numbers.

    Args:
        names: Names of the columns, for a table with categorical columns; else None.
        categories: The categorical columns among them.
        schema: The schema of their levels, as JSON; None without categorical columns.
        blocks: The start and length of the one-hot block of each categorical column.
        mean: The mean subtracted from each column.
        scale: The divisor of each column.
    """

    names: tuple[Any, ...] | None
    categories: tuple[Any, ...]
    schema: str | None
    blocks: tuple[tuple[int, int], ...]
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]

    def with_units(self, x: Matrix, weights: Float[np.ndarray, " n"]) -> "Columns":
        """The same encoding with the mean and standard deviation of each column of `x`."""
        mean, scale = units_of(x, weights)
        return self._replace(mean=mean, scale=scale)

    def standardized(self, x: Matrix) -> Matrix:
        """Standardized numbers."""
        return ((x - self.mean) / self.scale).astype(np.float32)


def units_of(x: np.ndarray, weights: np.ndarray) -> tuple[Any, Any]:
    """Means and standard deviations of columns; 1 for the scale of a constant column."""
    # Rescaled first, since sums of squares of large numbers would overflow.
    size = np.maximum(np.abs(x).max(0), np.finfo(float).tiny)
    share = weights / weights.sum()
    small = x / size
    mean = share @ small
    scale = np.sqrt(share @ (small - mean) ** 2)
    is_constant = (small == small[:1]).all(0) | (scale < 1e-12)
    scale = np.where(is_constant, 1.0, scale * size)
    return np.where(is_constant, x[0], mean * size), scale


def weights_of(sample_weight: Any, x: Matrix) -> np.ndarray:
    """Frequency weights of the rows.

    Raises:
        ValueError: If a weight is negative, or none is positive.
    """
    weights = check_sample_weight(sample_weight, x, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(
            "Negative values in data passed to `sample_weight`: it must be at least 0."
        )
    if not weights.any():
        raise ValueError("`sample_weight` must be positive in at least one row.")
    return weights


def has_categories(X: Any) -> bool:
    """Whether a table has columns that are not numbers."""
    kinds = getattr(X, "dtypes", None)
    if not hasattr(X, "columns") or kinds is None:
        return False
    return bool(_words(X))


def _words(X: Any) -> tuple[Any, ...]:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    is_number = lambda kind: is_numeric_dtype(kind) or is_bool_dtype(kind)
    return tuple(c for c in X.columns if not is_number(X[c].dtype))


def learn_columns(X: Any) -> tuple[Columns, Matrix]:
    """The encoding of a table with categorical columns, and its numbers, numeric columns first."""
    words = _words(X)
    schema, rows, _ = fit_schema(_named(X, words))
    levels = schema.levels
    counts = [len(levels[str(c)]) for c in words]
    first = len(X.columns) - len(words)
    starts = first + np.cumsum([0, *counts])
    blocks = tuple(zip(starts[:-1].tolist(), counts, strict=True))
    nothing = np.zeros(0)
    found = Columns(tuple(X.columns), words, schema.to_json(), blocks, nothing, nothing)
    return found, _matrix(found, X, rows)


def encode_columns(columns: Columns, X: Any) -> Matrix:
    """The numbers of a later table, with the levels of the first."""
    assert columns.schema is not None
    rows = Schema.from_json(columns.schema).encode(_named(X, columns.categories))
    return _matrix(columns, X, rows)


def _named(X: Any, words: tuple[Any, ...]) -> dict[str, Any]:
    return {str(c): X[c].reset_index(drop=True) for c in words}


def _matrix(columns: Columns, X: Any, codes: Mapping[str, Any]) -> Matrix:
    assert columns.names is not None
    numbers = [c for c in columns.names if c not in columns.categories]
    parts = [_numbers(str(c), X[c].to_numpy(float, na_value=np.nan)) for c in numbers]
    for name, (_, count) in zip(columns.categories, columns.blocks, strict=True):
        parts.append(np.eye(count)[np.asarray(codes[str(name)])])
    return np.concatenate(parts, 1) if parts else np.zeros((len(X), 0))


def _numbers(name: str, x: np.ndarray) -> Matrix:
    bad = np.flatnonzero(~np.isfinite(x))
    if bad.size:
        raise ValueError(
            f"Column {name!r} of `X` has {bad.size} entries that are NaN or infinite, the first "
            f"in row {bad[0]}. Fill them in, or leave these rows out."
        )
    return x[:, None]


def merged(
    x: Matrix, y: np.ndarray, weights: np.ndarray
) -> tuple[Float[np.ndarray, "m d"], np.ndarray, np.ndarray]:
    """Unique rows in a canonical order, with the weights of equal rows added.

    A fit then does not depend on the order of rows, nor on whether a row appears twice or has
    the weight 2.
    """
    kept = weights > 0
    x, y, weights = x[kept], y[kept], weights[kept]
    table = np.concatenate([x, y[:, None]], 1)
    rows, where = np.unique(table, axis=0, return_inverse=True)
    total = np.bincount(where.ravel(), weights, len(rows))
    return rows[:, :-1], rows[:, -1], total


def padded_size(count: int) -> int:
    """A padded size, at most an eighth above `count`, so that compiled programs are shared."""
    unit = max(8, 2 ** (max(count - 1, 1).bit_length() - 4))
    return -(-count // unit) * unit


def padded(x: np.ndarray, size: int) -> np.ndarray:
    """Pad to `size` rows by repeating the first."""
    missing = size - len(x)
    return np.concatenate([x, np.repeat(x[:1], missing, 0)]) if missing else x
