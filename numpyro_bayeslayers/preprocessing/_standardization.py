"""Means and standard deviations of columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .. import _checks
from ._columns import as_table, check_names, numbers


def fit_standardization(
    df: Any, columns: Sequence[str], *, eps: float = 1e-12
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    r"""The mean and the standard deviation of each column.

    $$\mu_j = \frac{1}{N} \sum_i x_{ij}, \qquad
    \sigma_j^2 = \frac{1}{N} \sum_i (x_{ij} - \mu_j)^2$$

    They are the arguments of `basis.standardize` and of the layer `Standardization`.

    Args:
        df: A pandas DataFrame, or (through narwhals) a table of another library.
        columns: Names of numeric columns.
        eps: The relative threshold for constant columns, at least 0. A column whose standard
            deviation is at most `eps * max(1, |mean|)` counts as constant: its standard
            deviation is returned as 1, so that it is only centered.

    Returns:
        Means and standard deviations in the order of `columns`, in double precision.

    Raises:
        ImportError: If pandas is not installed.
        TypeError: If `df` is not a table, `columns` is not a sequence of names, or a column is not
            numeric.
        ValueError: If a column does not exist or has missing or infinite entries, the table has
            no rows, or `eps` is negative.

    Example:
        >>> import pandas as pd
        >>> df = pd.DataFrame({"latitude": [46.0, 48.0], "height": [100.0, 100.0]})
        >>> mu, std = fit_standardization(df, ["latitude", "height"])
        >>> mu.tolist(), std.tolist()
        ([47.0, 100.0], [1.0, 1.0])
    """
    df = as_table("df", df)
    _checks.non_negative("eps", eps)
    columns = check_names("columns", columns)
    if not len(df):
        raise ValueError("`df` must have at least one row, got none.")
    values = [numbers(df, name) for name in columns]
    mu = np.array([v.mean() for v in values], dtype=float)
    std = np.array([v.std() for v in values], dtype=float)
    return mu, np.where(std <= eps * np.maximum(1.0, np.abs(mu)), 1.0, std)
