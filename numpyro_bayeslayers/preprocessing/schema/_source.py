"""Users' data as tables, columns and arrays in a common form."""

import datetime
import sys
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from decimal import Decimal
from numbers import Number
from typing import Any, NamedTuple

import jax
import numpy as np

_LAZY = "`{label}` is {kind}, whose rows are not in memory. Collect it into a table first."
# Attributes that tables and columns of other libraries have.
_FOREIGN = (
    "__dataframe__",
    "__arrow_c_stream__",
    "__arrow_c_array__",
    "__narwhals_series__",
)
_ENTRIES = (
    *(Number, str, bytes, Decimal, np.generic, type(None)),
    *(datetime.date, datetime.time, datetime.timedelta),
)


class Source(NamedTuple):
    """One leaf of an argument.

    Args:
        label: Its name in errors: ``x``, or ``x['age']`` inside a container.
        names: The names of a table's columns; None for a column or an array.
        columns: A table's columns; otherwise just the column or array.
        index: The pandas index of its rows, if it has one.
        num_rows: The length of its first axis.
        is_table: Whether it is a table or a column of a table, not an array or a list.
    """

    label: str
    names: tuple[Any, ...] | None
    columns: tuple[Any, ...]
    index: Any
    num_rows: int
    is_table: bool = False


class Argument(NamedTuple):
    """The leaves of one argument.

    Args:
        labels: Their names in errors.
        sources: The leaves; None for a leaf that is not an array.
        structure: The pytree structure of the leaves.
    """

    labels: tuple[str, ...]
    sources: tuple[Source | None, ...]
    structure: Any

    @classmethod
    def of(cls, name: str, value: Any) -> "Argument":
        """Split the argument `name` into leaves; a list of entries is one leaf."""
        _check_order(name, value)
        pairs, structure = jax.tree_util.tree_flatten_with_path(value, is_leaf=is_list)
        labels = tuple(name + jax.tree_util.keystr(path) for path, _ in pairs)
        leaves = [leaf for _, leaf in pairs]
        sources = tuple(source_of(*pair) for pair in zip(labels, leaves, strict=True))
        return cls(labels, sources, structure)

    @property
    def arrays(self) -> list[Source]:
        """The leaves that are arrays, columns or tables."""
        return [source for source in self.sources if source is not None]

    @property
    def num_rows(self) -> int | None:
        """The number of rows of all leaves, or None if they differ."""
        found = {None if source is None else source.num_rows for source in self.sources}
        return found.pop() if len(found) == 1 else None

    def filled(self, leaves: Sequence[Any]) -> Any:
        """The argument with other leaves."""
        return jax.tree_util.tree_unflatten(self.structure, leaves)


def row_counts(data: Mapping[str, Any]) -> dict[str, int | None]:
    """The number of rows of each argument; None if it has no rows or its leaves differ."""
    return {name: Argument.of(name, value).num_rows for name, value in data.items()}


def _check_order(name: str, value: Any) -> None:
    """Refuse iterators and unordered collections."""
    is_set = isinstance(value, Set) and any(isinstance(e, Number) for e in value)
    if is_set or isinstance(value, (Iterator, ValuesView)):
        kind = type(value).__name__
        raise TypeError(
            f"`{name}` must be an array, a list or a table, got {kind}. Convert it to a list "
            "in the order of the rows."
        )


def is_list(value: Any) -> bool:
    """Whether it is a list of numbers, strings or dates, or of lists of these, or empty."""
    if not isinstance(value, list):
        return False
    if all(isinstance(entry, _ENTRIES) for entry in value):
        return True
    return all(
        is_list(list(entry) if isinstance(entry, tuple) else entry) for entry in value
    )


def source_of(label: str, leaf: Any) -> Source | None:
    """The leaf as a table, a column or an array; None for anything else.

    Raises:
        ImportError: If it is a table of a library other than pandas and narwhals is not
            installed.
        TypeError: If it is a table or a matrix that cannot be read by rows.
    """
    if isinstance(leaf, jax.Array) or (
        type(leaf) is np.ndarray and leaf.dtype.names is None
    ):
        return Source(label, None, (leaf,), None, len(leaf)) if leaf.ndim else None
    if is_list(leaf):
        return Source(label, None, (leaf,), None, len(leaf))
    if isinstance(leaf, np.ndarray):
        if not leaf.ndim:
            return None
        if leaf.dtype.names is None:
            return Source(label, None, (leaf,), None, len(leaf))
        columns = tuple(leaf[field] for field in leaf.dtype.names)
        return Source(label, leaf.dtype.names, columns, None, len(leaf))
    if isinstance(leaf, (Number, str, bytes, np.generic)) or callable(leaf):
        return None
    return _of_pandas(label, leaf) or _of_other(label, leaf)


def _of_pandas(label: str, leaf: Any) -> Source | None:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return None
    if isinstance(leaf, pandas.DataFrame):
        names = _check_names(label, leaf.columns)
        columns = tuple(leaf.iloc[:, i] for i in range(len(names)))
        return Source(label, names, columns, leaf.index, len(leaf), is_table=True)
    if isinstance(leaf, pandas.Series):
        return Source(label, None, (leaf,), leaf.index, len(leaf), is_table=True)
    if isinstance(leaf, (pandas.Index, pandas.api.extensions.ExtensionArray)):
        return Source(label, None, (leaf,), None, len(leaf), is_table=True)
    return None


def _of_other(label: str, leaf: Any) -> Source | None:
    is_foreign = any(hasattr(leaf, name) for name in _FOREIGN)
    if not is_none_of_a_library(leaf):
        known = under_narwhals(label, leaf, is_needed=is_foreign)
        if known is not None:
            import narwhals

            index = narwhals.maybe_get_index(known)
            if isinstance(known, narwhals.Series):
                return Source(label, None, (known,), index, len(known), is_table=True)
            columns = tuple(known[name] for name in known.columns)
            names = _check_names(label, known.columns)
            return Source(label, names, columns, index, len(known), is_table=True)
    kind = f"{type(leaf).__module__}.{type(leaf).__qualname__}"
    methods = dir(type(leaf))
    if "columns" in methods and ("collect" in methods or "compute" in methods):
        raise TypeError(_LAZY.format(label=label, kind=kind))
    if hasattr(leaf, "__array__"):
        array = np.asarray(leaf)
        return Source(label, None, (array,), None, len(array)) if array.ndim else None
    if isinstance(getattr(leaf, "shape", None), tuple) and len(leaf.shape):
        raise TypeError(
            f"`{label}` must be an array or a table, got {kind}. Convert it to a dense array first."
        )
    return None


def is_none_of_a_library(leaf: Any) -> bool:
    """Whether it has none of the attributes of tables and columns of other libraries."""
    return not any(hasattr(leaf, name) for name in (*_FOREIGN, "to_numpy"))


def under_narwhals(label: str, leaf: Any, *, is_needed: bool) -> Any:
    """The leaf wrapped by narwhals; None if narwhals does not support it."""
    try:
        import narwhals
    except ImportError as error:
        if not is_needed:
            return None
        raise ImportError(
            f"`{label}` is a table of {type(leaf).__module__.split('.')[0]}, which needs "
            "narwhals: pip install 'numpyro-bayeslayers[tables]'."
        ) from error
    try:
        return narwhals.from_native(leaf, eager_only=True, allow_series=True)
    except TypeError:
        return None


def _check_names(label: str, columns: Any) -> tuple[Any, ...]:
    plain = (name.item() if isinstance(name, np.generic) else name for name in columns)
    names = tuple(name if isinstance(name, (str, int)) else str(name) for name in plain)
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"`{label}` must not have duplicate columns, got {', '.join(twice)} twice. Rename "
            "or drop one of them."
        )
    if not names:
        raise ValueError(f"`{label}` must have at least one column, got none.")
    return names
