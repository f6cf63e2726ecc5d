"""Table columns as numeric arrays, checked on input."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from .. import _checks
from .schema._source import is_none_of_a_library, under_narwhals

Rows = Float[np.ndarray, " n"]


def as_table(name: str, df: Any) -> Any:
    """`df` as a pandas DataFrame; tables of other libraries are read through narwhals.

    Raises:
        ImportError: If pandas is not installed, or narwhals is needed and not installed.
        TypeError: If it is not a table.
        ValueError: If it has duplicate column names.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "Tables need pandas: pip install 'numpyro-bayeslayers[estimators]'."
        ) from error
    if isinstance(df, pandas.DataFrame):
        return df
    known: Any = None
    if not is_none_of_a_library(df):
        known = under_narwhals(name, df, is_needed=True)
    if not hasattr(known, "columns"):
        what = "a pandas.DataFrame, or another table that narwhals reads"
        _checks.instance(name, df, pandas.DataFrame, what)
    return pandas.DataFrame({column: _as_pandas(known[column]) for column in known.columns})


def _as_pandas(series: Any) -> Any:
    """A narwhals Series as a pandas Series."""
    import narwhals
    import pandas

    kind = series.dtype
    if isinstance(kind, narwhals.Datetime) and kind.time_zone is not None:
        utc = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()
        column = pandas.Series(utc).dt.tz_localize("UTC")
        return column.dt.tz_convert(kind.time_zone)
    if isinstance(kind, narwhals.Decimal):
        series = series.cast(narwhals.Float64)
    return pandas.Series(series.to_numpy())


def check_names(name: str, columns: Any) -> tuple[str, ...]:
    """`columns` as a tuple of distinct names; a string is not a sequence of names."""
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        given = type(columns).__name__
        raise TypeError(
            f"`{name}` must be a sequence of column names, got {columns!r} ({given})."
        )
    columns = tuple(columns)
    twice = sorted({str(c) for c in columns if columns.count(c) > 1})
    if twice:
        raise ValueError(f"`{name}` must name each column once, got {twice} twice.")
    return columns


def column(df: Any, name: str) -> Any:
    """The column with this name.

    Raises:
        ValueError: If there is none, or more than one.
    """
    found = list(df.columns).count(name)
    if found == 0:
        _checks.one_of("column", name, [str(c) for c in df.columns])
    if found != 1:
        raise ValueError(
            f"The table must have the column {name!r} exactly once, got it {found} times."
        )
    return df[name]


def numbers(df: Any, name: str) -> Rows:
    """The column as floating-point numbers; missing and infinite entries are errors.

    Raises:
        TypeError: If it is not numeric.
        ValueError: If there is no such column, or an entry is missing or infinite.
    """
    series = column(df, name)
    if series.dtype == bool or str(series.dtype) == "boolean":
        series = series.astype("Int8")  # booleans count as numeric features
    values = as_floats(series, name)
    check_present(name, ~np.isfinite(values), df.index)
    return values


def as_floats(series: Any, name: str) -> Rows:
    """The entries of `series` as floating-point numbers; missing ones are NaN."""
    import pandas as pd

    kinds = pd.api.types
    if kinds.is_complex_dtype(series.dtype):
        raise TypeError(
            f"The column {name!r} must hold real numbers, got {series.dtype}. Split it into "
            "two columns, the real and the imaginary part."
        )
    if kinds.is_bool_dtype(series.dtype):
        raise TypeError(
            f"The column {name!r} must hold numbers, got {series.dtype}. Convert it with "
            ".astype(float) if True is meant as 1 and False as 0."
        )
    if not kinds.is_numeric_dtype(series.dtype):
        raise TypeError(
            f"The column {name!r} must hold numbers, got {series.dtype}. Convert it with "
            "pandas.to_numeric, or leave it out."
        )
    return series.to_numpy(dtype=float, na_value=np.nan)


def check_present(name: str, is_bad: np.ndarray, index: Any) -> None:
    """Check that no entry of the column `name` is missing or infinite."""
    if is_bad.any():
        first = index[int(is_bad.argmax())]
        raise ValueError(
            f"The column {name!r} has {int(is_bad.sum())} of {len(is_bad)} entries that are "
            f"missing or infinite, the first at index {first!r}. Drop or impute them first."
        )
