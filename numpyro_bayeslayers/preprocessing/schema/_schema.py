"""The schema learned from the first data set, by which later data are encoded."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from ... import _checks
from ._alignment import row_orders
from ._column import Level
from ._encoding import ColumnSchema, check_codes
from ._leaf import LeafSchema, encode_leaf, learn_leaf, read_constant
from ._source import Argument, Source, is_list


class ArgumentSchema(NamedTuple):
    """The schema of an argument: rows, or a constant.

    Args:
        name: Its name.
        role: ``"rows"`` or ``"constant"``.
        leaves: The schemas of its tables, columns and arrays; empty for a constant.
    """

    name: str
    role: str
    leaves: tuple[LeafSchema, ...] = ()


class Schema(NamedTuple):
    """The schema of a data set: names, types and categories, used to encode later data.

    It contains only strings, numbers and tuples, so it can be compared and stored as JSON.
    `fit_schema` learns it from the first data.

    Args:
        arguments: The schemas of the arguments, in order.
        num_rows: The number of rows of the first data.
        index: The type of the row labels, if there is a pandas index.

    Example:
        >>> schema, _, _ = fit_schema({"y": [1.0, 2.0, 3.0], "town": ["rome", "oslo", "rome"]})
        >>> schema.levels
        {'town': ('oslo', 'rome')}
        >>> schema.encode({"town": ["rome"]}, without=("y",))["town"].tolist()
        [1]
        >>> Schema.from_json(schema.to_json()) == schema
        True
    """

    arguments: tuple[ArgumentSchema, ...]
    num_rows: int
    index: str | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of the arguments that are rows."""
        return tuple(a.name for a in self.arguments if a.role == "rows")

    @property
    def levels(self) -> dict[str, tuple[Level, ...]]:
        """The categories of each categorical argument or column, in the order of their codes."""
        return {
            leaf.label_of(column): column.levels
            for argument in self.arguments
            for leaf in argument.leaves
            for column in leaf.columns
            if column.levels is not None
        }

    def encode(
        self,
        data: Mapping[str, Any],
        *,
        without: Sequence[str] = (),
        may_be_new: bool = False,
    ) -> dict[str, Any]:
        """Encode later data as arrays, in the same way as the first data.

        Columns of tables are found by name, and categories by level. Rows with a pandas index
        are matched by it, in the order of the first argument that has one.

        Args:
            data: The row arguments by name.
            without: Names of row arguments that may be left out.
            may_be_new: Whether new levels get the codes -2, -3, ...; otherwise they are an
                error.

        Raises:
            TypeError: If a column has another type than in the first data.
            ValueError: If an argument, a column or an entry is missing, an argument, a column
                or a level is unknown, or rows cannot be aligned.
        """
        for name in data:
            _checks.one_of("data", name, self.rows)
        missing = [n for n in self.rows if n not in data and n not in without]
        if missing:
            raise ValueError(
                f"`{missing[0]}` must be given: the first data had the row arguments "
                f"{', '.join(name for name in self.rows if name not in without)}."
            )
        read = {name: Argument.of(name, value) for name, value in data.items()}
        known = {argument.name: argument.leaves for argument in self.arguments}
        for name, given in read.items():
            labels = [leaf.label for leaf in known[name]]
            if list(given.labels) != labels or None in given.sources:
                raise ValueError(
                    f"`{name}` must hold rows, those of {', '.join(labels)}, got "
                    f"{', '.join(given.labels) or 'nothing'}: {data[name]!r}."
                )
        sources = [source for given in read.values() for source in given.arrays]
        _same_rows(sources)
        orders = iter(row_orders(sources))
        return {
            name: given.filled(
                [
                    encode_leaf(leaf, source, next(orders), may_be_new=may_be_new)
                    for leaf, source in zip(known[name], given.arrays, strict=True)
                ]
            )
            for name, given in read.items()
        }

    def with_codes(self, counts: Mapping[str, int], rows: Mapping[str, Any]) -> "Schema":
        """The schema with the information which arrays hold codes of categories.

        Args:
            counts: The number of categories by the label of the array (``x``, or ``x['a']`` in
                a container).
            rows: The row arrays of the first data, which are checked.

        Raises:
            ValueError: If a code is not smaller than the number of categories.
        """
        arrays = {
            name + jax.tree_util.keystr(path): leaf
            for name, value in rows.items()
            for path, leaf in jax.tree_util.tree_leaves_with_path(value)
        }

        def known(leaf: LeafSchema) -> LeafSchema:
            if leaf.label not in counts:
                return leaf
            columns = tuple(c._replace(num_codes=counts[leaf.label]) for c in leaf.columns)
            check_codes(leaf.label, columns[0], arrays[leaf.label])
            return leaf._replace(columns=columns)

        return self._replace(
            arguments=tuple(
                argument._replace(leaves=tuple(known(leaf) for leaf in argument.leaves))
                for argument in self.arguments
            )
        )

    def to_json(self) -> str:
        """The schema as JSON text."""
        return json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> "Schema":
        """Read the schema from the text that `to_json` returned."""
        arguments, num_rows, index = json.loads(text)

        def column(
            name: Any, kind: str, levels: list[Level] | None, num_codes: int | None
        ) -> ColumnSchema:
            known = None if levels is None else tuple(levels)
            return ColumnSchema(name, kind, known, num_codes)

        def leaf(label: str, columns: list[Any], shape: list[int]) -> LeafSchema:
            return LeafSchema(label, tuple(column(*c) for c in columns), tuple(shape))

        known = [
            ArgumentSchema(name, role, tuple(leaf(*one) for one in leaves))
            for name, role, leaves in arguments
        ]
        return cls(tuple(known), num_rows, index)


class Encoded(NamedTuple):
    """Encoded data and its schema.

    Args:
        schema: The schema.
        rows: The arguments with one entry per row, as arrays.
        constants: All others.
    """

    schema: Schema
    rows: dict[str, Any]
    constants: dict[str, Any]


def fit_schema(
    data: Mapping[str, Any], *, constants: Mapping[str, Any] | None = None
) -> Encoded:
    """Separate rows from constants, and learn the schema of the rows.

    Rows are arrays, lists of numbers or strings, columns, tables, and containers of these, with
    the same length as the first argument. Strings, booleans stored as objects, and columns of a
    categorical type become integer codes of their levels; levels are sorted, or in the order of
    the categorical type. Integers that overflow JAX's integer type become floating point. Rows
    with a pandas index are matched by it.

    Args:
        data: Arguments by name; the first one must be rows.
        constants: Arguments that are not rows, whatever their length.

    Returns:
        The schema, the row arguments as arrays, and all other arguments.

    Raises:
        ImportError: If a table of a library other than pandas is given and narwhals is not
            installed.
        TypeError: If a column holds dates, objects, or both numbers and strings.
        ValueError: If rows cannot be aligned, an entry is missing or infinite, an argument is
            given twice, or there are no rows.

    Example:
        >>> import numpy as np
        >>> data = {"y": np.zeros(3), "x": np.ones((3, 2)), "knots": np.arange(4.0)}
        >>> schema, rows, others = fit_schema(data)
        >>> list(rows), list(others)
        (['y', 'x'], ['knots'])
        >>> list(fit_schema(data, constants={"taken": np.ones(3)}).constants)
        ['taken', 'knots']
    """
    fixed = dict(constants or {})
    for name in fixed:
        if name in data:
            raise ValueError(
                f"`{name}` must be given once, got it both in `constants` and as data."
            )
    others = {name: read_constant(name, value) for name, value in fixed.items()}
    read = {
        name: value if isinstance(value, Argument) else Argument.of(name, value)
        for name, value in data.items()
    }
    first = next(iter(read))
    num_rows = read[first].num_rows
    if num_rows is None:
        _same_rows(read[first].arrays)
        raise ValueError(f"`{first}` must have a row axis, got {data[first]!r}.")
    if not num_rows:
        raise ValueError(f"`{first}` must have at least one row, got none.")
    rows = {name: given for name, given in read.items() if given.num_rows == num_rows}
    left = {name: given for name, given in read.items() if name not in rows}
    _check_left({name: data[name] for name in left}, left, first, num_rows, len(rows) == 1)
    others |= {name: read_constant(name, data[name]) for name in left}
    sources = [source for given in rows.values() for source in given.arrays]
    orders = iter(row_orders(sources))
    arguments, arrays = [ArgumentSchema(name, "constant") for name in others], {}
    for name, given in rows.items():
        pairs = [learn_leaf(source, next(orders)) for source in given.arrays]
        arguments.append(ArgumentSchema(name, "rows", tuple(leaf for leaf, _ in pairs)))
        arrays[name] = given.filled([array for _, array in pairs])
    index = next((str(s.index.dtype) for s in sources if s.index is not None), None)
    return Encoded(Schema(tuple(arguments), num_rows, index), arrays, others)


def _same_rows(sources: Sequence[Source]) -> None:
    """Check that all have as many rows as the first, and at least one."""
    lengths = {source.label: source.num_rows for source in sources}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"`{name}` has {n}" for name, n in lengths.items())
        raise ValueError(f"All data must have the same number of rows, but {found} rows.")
    for label, length in lengths.items():
        if not length:
            raise ValueError(f"`{label}` must have at least one row, got none.")


def _check_left(
    data: dict[str, Any], left: dict[str, Argument], first: str, num_rows: int, alone: bool
) -> None:
    """Raise for arguments that may be meant as rows: tables, and arrays if nothing else is rows."""
    whole = {n: a.sources[0] for n, a in left.items() if len(a.sources) == 1}
    long = {n: s for n, s in whole.items() if s is not None and not is_list(data[n])}
    tables = {name: s for name, s in long.items() if s.is_table}
    wrong = tables or (long if alone else {})
    if wrong:
        found = ", ".join(f"`{name}` has {s.num_rows}" for name, s in wrong.items())
        raise ValueError(
            f"All data must have the same number of rows, but `{first}` has {num_rows}, "
            f"{found} rows. Pass arguments that are not rows in `constants`."
        )
