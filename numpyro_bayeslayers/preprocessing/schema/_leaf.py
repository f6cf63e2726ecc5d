"""Learn the encoding of one table, column or array, and apply it to later data."""

import difflib
from numbers import Number
from typing import Any, NamedTuple

import jax
import numpy as np

from ._column import Column, read_column
from ._encoding import ColumnSchema, encode, learn
from ._numbers import check_floats, fitting, kind_of
from ._source import Source, is_list, source_of

_MIXED = (
    "`{label}` has categorical columns ({categories}) and numeric ones ({numbers}): in one "
    "matrix, the codes of categories would be treated as numbers. Pass each categorical column "
    "as a separate argument: `{name}={label}[{name!r}]`."
)
_NO_NAMES = (
    "`{label}` was an array without column names in the first data, and is a table of {names} "
    "now. Pass `{label}[[...]].to_numpy()` with the columns in the order of the array."
)


_TABLE = (
    "`{label}` must be an array, got a {kind}. Pass `{label}.to_numpy()`; only `fit` accepts "
    "tables (it finds columns by name and matches rows by index)."
)


class LeafSchema(NamedTuple):
    """The schema of a table, a column or an array of an argument.

    Args:
        label: Its name in errors.
        columns: The schemas of a table's columns; otherwise just one.
        shape: The shape of its array without the row axis.
    """

    label: str
    columns: tuple[ColumnSchema, ...]
    shape: tuple[int, ...]

    @property
    def is_table(self) -> bool:
        """Whether it is a table, with named columns."""
        return self.columns[0].name is not None

    def label_of(self, column: ColumnSchema) -> str:
        """The name of one of its columns in errors."""
        return _label(self.label, column.name)


def _label(label: str, name: Any) -> str:
    return label if name is None else f"{label}[{name!r}]"


def learn_leaf(source: Source, order: Any) -> tuple[LeafSchema, Any]:
    """The schema of a leaf, and its array.

    Args:
        source: The data as given.
        order: The positions of its rows, or None for the given order.
    """
    label, names = source.label, source.names or (None,)
    found = [
        learn(_label(label, name), name, _column(_label(label, name), values, order))
        for name, values in zip(names, source.columns, strict=True)
    ]
    columns = tuple(column for column, _ in found)
    of = {True: [], False: []}
    for column in columns:
        of[column.levels is not None].append(str(column.name))
    if of[True] and of[False]:
        words = {"categories": ", ".join(of[True]), "numbers": ", ".join(of[False])}
        raise TypeError(_MIXED.format(label=label, name=of[True][0], **words))
    array = _stack(label, names, [values for _, values in found], is_first=True)
    return LeafSchema(label, columns, tuple(array.shape[1:])), array


def encode_leaf(
    known: LeafSchema, source: Source, order: Any, *, may_be_new: bool = False
) -> Any:
    """The array of a later leaf; `may_be_new` as in `encode`."""
    label, names = source.label, [column.name for column in known.columns]
    pairs = list(zip(known.columns, _found(known, source), strict=True))
    arrays = [
        encode(
            known.label_of(schema),
            schema,
            _column(known.label_of(schema), values, order),
            may_be_new=may_be_new,
        )
        for schema, values in pairs
    ]
    array = _stack(label, names, arrays, is_first=False)
    if array.shape[1:] == known.shape:
        return array
    if {array.shape[1:], known.shape} == {(), (1,)}:
        return array.reshape(-1, *known.shape)
    raise ValueError(
        f"`{label}` must have the shape {known.shape} after the row axis, as in the first "
        f"data, got {array.shape[1:]}. Pass the same columns."
    )


def _column(label: str, values: Any, order: Any) -> Column:
    column = values if isinstance(values, Column) else read_column(label, values)
    return column if order is None else column.take(order)


def _found(known: LeafSchema, source: Source) -> list[Any]:
    """The columns of `source`, in the order of `known`."""
    label, names = source.label, source.names
    if not known.is_table:
        if names is None or len(names) == 1:
            return list(source.columns)
        raise ValueError(_NO_NAMES.format(label=label, names=", ".join(map(str, names))))
    wanted = [column.name for column in known.columns]
    if names is None:
        if len(wanted) == 1:
            return list(source.columns)
        column = read_column(label, source.columns[0])
        if column.values.shape[1:] != (len(wanted),):
            raise ValueError(
                f"`{label}` must have the {len(wanted)} columns {', '.join(map(str, wanted))}, "
                f"got an array of shape {column.values.shape}."
            )
        return [column._replace(values=column.values[:, i]) for i in range(len(wanted))]
    for name in wanted:
        if name not in names:
            close = difflib.get_close_matches(str(name), [str(n) for n in names], n=1)
            hint = f" Did you name it {close[0]!r}?" if close else ""
            raise ValueError(
                f"`{label}` must have the column {name!r}, got {', '.join(map(str, names))}."
                f"{hint}"
            )
    unknown = [name for name in names if name not in wanted]
    if unknown:
        raise ValueError(
            f"`{label}` has the columns {', '.join(map(str, unknown))}, which the first data "
            f"did not have. Pass `{label}[{wanted!r}]`."
        )
    return [source.columns[names.index(name)] for name in wanted]


def _stack(label: str, names: Any, arrays: list[Any], *, is_first: bool) -> Any:
    """The columns in one matrix, of a type that holds all of them."""
    if names[0] is None:
        return arrays[0]
    array = np.stack(arrays, axis=1)
    if kind_of(array) == "float":
        for name, values in zip(names, arrays, strict=True):
            if kind_of(values) != "float":
                check_floats(_label(label, name), values.astype(float), is_first=is_first)
    return array


def as_array(label: str, leaf: Any) -> Any:
    """A leaf of arguments in a form whose values JAX keeps; non-arrays stay as they are.

    Raises:
        TypeError: If it is a table, or an array of dates or strings.
        ValueError: If it has masked entries.
    """
    if isinstance(leaf, (jax.Array, Number, str, type(None))) or callable(leaf):
        return leaf
    source = source_of(label, leaf)
    if source is None:
        return leaf
    if source.is_table or source.names is not None:
        raise TypeError(_TABLE.format(label=label, kind=type(leaf).__name__))
    return _numbers(label, leaf, source.columns[0])


def _numbers(label: str, leaf: Any, values: Any) -> Any:
    """The numbers of a leaf; the leaf itself if nothing changes."""
    column = read_column(label, values)
    if column.levels is not None:
        raise TypeError(
            f"`{label}` must hold numbers, got strings. `fit` converts strings in arguments "
            "that are rows into codes; elsewhere pass the codes."
        )
    if isinstance(leaf, np.ma.MaskedArray) and np.ma.getmaskarray(leaf).any():
        raise ValueError(f"`{label}` must have no masked entries. Fill them first.")
    return fitting(column.values)


def read_constant(name: str, value: Any) -> Any:
    """A constant argument: numeric tables become arrays, everything else stays as it is."""
    pairs, structure = jax.tree_util.tree_flatten_with_path(value, is_leaf=is_list)
    leaves = [leaf for _, leaf in pairs]
    read = [_constant(name + jax.tree_util.keystr(path), leaf) for path, leaf in pairs]
    if all(one is other for one, other in zip(leaves, read, strict=True)):
        return value
    return jax.tree_util.tree_unflatten(structure, read)


def _constant(label: str, leaf: Any) -> Any:
    source = None if is_list(leaf) else source_of(label, leaf)
    is_plain = isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufc"
    if source is None or isinstance(leaf, jax.Array) or is_plain:
        return leaf
    if source.names is None:
        return _numbers(label, leaf, source.columns[0])
    named = zip(source.names, source.columns, strict=True)
    return np.stack([_numbers(_label(label, n), None, c) for n, c in named], axis=1)
