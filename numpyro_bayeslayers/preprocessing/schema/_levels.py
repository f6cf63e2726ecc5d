"""The categories of a column, before a fit."""

from collections.abc import Mapping
from typing import Any

from ._column import Level, read_column
from ._encoding import learn
from ._source import source_of


def levels_of(data: Any) -> tuple[Level, ...] | dict[str, tuple[Level, ...]]:
    """The categories of a column, in the order of the codes that `fit` gives them.

    Use ``len(levels_of(column))`` for a layer that needs the number of categories. A pandas
    Categorical has all declared categories in their order, including unused ones; strings are
    sorted.

    Args:
        data: A column of strings or of a categorical type: a pandas Series, a column of another
            library (through narwhals), an array or a list. Or a table, or a dictionary of
            columns.

    Returns:
        The levels of a column; for a table or a dictionary, those of each categorical column by
        name.

    Raises:
        TypeError: If `data` is a column that holds numbers, or a column holds dates or other
            objects.
        ValueError: If entries of a column are missing, or infinite.

    Example:
        >>> levels_of(["rome", "oslo", "rome"])
        ('oslo', 'rome')
        >>> levels_of({"town": ["rome", "oslo"], "height": [21.0, 3.0]})
        {'town': ('oslo', 'rome')}
    """
    if isinstance(data, Mapping):
        pairs = list(data.items())
    else:
        source = source_of("data", data)
        if source is None:
            kind = type(data).__name__
            raise TypeError(f"`data` must be a column or a table, got {data!r} ({kind}).")
        if source.names is None:
            found = _levels("data", source.columns[0])
            if found is None:
                raise TypeError(
                    "`data` must hold categories, got numbers. If they are codes of "
                    "categories, use `pandas.Categorical(data)`."
                )
            return found
        pairs = list(zip(source.names, source.columns, strict=True))
    levels = {name: _levels(f"data[{name!r}]", column) for name, column in pairs}
    return {name: found for name, found in levels.items() if found is not None}


def _levels(label: str, values: Any) -> tuple[Level, ...] | None:
    column = read_column(label, values)
    known, _ = learn(label, None, column)
    return (False, True) if known.kind == "bool" else known.levels
