"""The table of a formula: its columns, checked and in the form that formulae reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np


class Table:
    """Columns by name: pandas Series and matrices.

    It has the interface of a data frame that formulae uses.

    Args:
        columns: The columns.
        num_rows: The number of rows.
        namespace: Further functions and values that formulas may use, by name.
        ordered: The categorical columns with a declared order.
    """

    def __init__(
        self,
        columns: dict[str, Any],
        num_rows: int,
        namespace: Mapping[str, Any],
        ordered: frozenset[str] = frozenset(),
    ) -> None:
        self.columns = columns
        self.ordered = ordered
        self.namespace = namespace
        self.shape = num_rows, len(columns)
        self.index = np.arange(num_rows)

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def __len__(self) -> int:
        return self.shape[0]

    @classmethod
    def of(cls, data: Any, namespace: Mapping[str, Any]) -> "Table":
        """Build a table from a data frame, or from a dictionary of columns and matrices.

        Raises:
            TypeError: If it is neither.
            ValueError: If there are no rows, or columns differ in length.
        """
        import pandas

        if not isinstance(data, (pandas.DataFrame, Mapping)):
            if not hasattr(data, "to_pandas"):
                raise TypeError(
                    "`data` must be a table, or a dictionary of columns by name, got "
                    f"{type(data).__name__}."
                )
            data = data.to_pandas()
        columns = {str(name): _column(str(name), data[name]) for name in data}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"`{n}` has {k}" for n, k in lengths.items())
            raise ValueError(
                f"Columns of `data` must have the same number of rows, but {found}."
            )
        num_rows = next(iter(lengths.values()), 0)
        if not num_rows:
            raise ValueError("`data` must have at least one row and one column, got none.")
        ordered = frozenset(
            str(name)
            for name in data
            if getattr(getattr(data[name], "dtype", None), "ordered", False)
        )
        return cls(columns, num_rows, namespace, ordered)

    def check_whole(self, names: set[str], term: str) -> None:
        """Check that no entry of these columns is missing.

        Raises:
            ValueError: If one is; the error names its column and row.
        """
        import pandas

        for name in sorted(names & self.columns.keys()):
            missing = np.asarray(pandas.isna(self.columns[name]))
            rows = np.flatnonzero(missing.reshape(len(self), -1).any(1))
            if rows.size:
                raise ValueError(
                    f"`data` has {rows.size} missing entries in the column `{name}` (first in row "
                    f"{rows[0]}), which the term `{term}` needs. Leave these rows out, "
                    f"`data.dropna(subset=[{name!r}])`, or fill them."
                )


def _column(name: str, values: Any) -> Any:
    """A Series with the index 0, 1, ..., or a numeric matrix."""
    import pandas

    if isinstance(values, pandas.DataFrame) or np.ndim(values) == 2:
        return np.asarray(values, float)
    if np.ndim(values) != 1:
        raise ValueError(
            f"`{name}` in `data` must be a column or a matrix, got shape {np.shape(values)}."
        )
    is_series = isinstance(values, pandas.Series)
    column = pandas.Series(values.array if is_series else values)
    if isinstance(column.dtype, pandas.CategoricalDtype):
        return column.cat.as_ordered()  # declared levels are all kept, in their order
    is_own = isinstance(column.dtype, np.dtype)
    if not is_own and pandas.api.types.is_numeric_dtype(column.dtype):
        return pandas.Series(column.to_numpy(float, na_value=np.nan))
    return column


def names_in(part: Any) -> set[str]:
    """The names of the variables in a component, a call or a term of formulae."""
    part = getattr(part, "call", part)
    inside = [*getattr(part, "components", ()), *getattr(part, "args", ())]
    inside += getattr(part, "kwargs", {}).values()
    name = getattr(part, "name", None)
    own = (
        {name}
        if not inside and isinstance(name, str) and not hasattr(part, "lexeme")
        else set()
    )
    return own.union(*map(names_in, inside))


def levels_in(values: Any) -> tuple[Any, ...]:
    """The categories of a column: declared ones in their order, otherwise sorted values."""
    import pandas

    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, pandas.CategoricalDtype):
        return tuple(dtype.categories.tolist())
    return tuple(sorted(pandas.unique(pandas.Series(values)).tolist()))


def is_numeric(values: Any) -> bool:
    """Whether a column is numeric."""
    import pandas

    return bool(pandas.api.types.is_numeric_dtype(values))
