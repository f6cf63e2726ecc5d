"""The columns of formula terms: their coding is learned from the first data set."""

from typing import Any

import numpy as np

from .. import registry
from ._table import Table, is_numeric, levels_in, names_in
from ._text import Block, formulae


class Coded:
    """A term coded as numeric columns by formulae, with the coding of the first data set.

    Args:
        name: The term as written in the formula.
        term: The term of formulae, which has been evaluated on the first data; None for a
            column of ones.
    """

    def __init__(self, name: str, term: Any) -> None:
        self.name = name
        self.term = term
        self.labels = (
            tuple(_short(label, name) for label in term.labels) if term else ("1",)
        )

    @classmethod
    def all(
        cls, terms: tuple[Any, ...], has_intercept: bool, table: Table
    ) -> list["Coded"]:
        """Terms coded together, so that the columns of categories are not redundant."""
        package = formulae()
        first = [package.Intercept()] if has_intercept else []
        for term in terms:
            table.check_whole(names_in(term), term.name)
        model = package.Model(*first, *terms)
        with np.errstate(all="ignore"):  # non-finite values are reported below
            model.eval(table, _environment(package, table))
        found = [t for t in model.common_terms if isinstance(t, package.Term)]
        for term in found:
            _check_levels(term, table)
        return [Coded(term.name, term) for term in found]

    @classmethod
    def of_block(cls, block: Block, table: Table) -> list["Coded"]:
        """The effects of a block that vary between groups."""
        package = formulae()
        kind = package.Term
        terms = [term for term in block.columns if isinstance(term, kind)]
        is_full = len(terms) == len(block.columns)  # without an intercept
        for term in terms:
            table.check_whole(names_in(term), block.text)
            with np.errstate(all="ignore"):
                term.set_type(table, _environment(package, table))
                term.set_data(is_full)
            _check_levels(term, table)
        rest = [Coded(term.name, term) for term in terms]
        return rest if is_full else [Coded("1", None), *rest]

    def values(self, table: Table, *, is_first: bool) -> np.ndarray:
        """The columns, (n, d)."""
        if self.term is None:
            return np.ones((len(table), 1))
        if not is_first:
            table.check_whole(names_in(self.term), self.name)
            _check_known(self.term, table)
        with np.errstate(all="ignore"):
            found = self.term.data if is_first else self.term.eval_new_data(table)
        out = np.asarray(found, float)
        out = out.reshape(len(table), -1)
        check_finite(self.name, out)
        return out


class Group:
    """The group of each row, coded by the categories of the first data.

    Args:
        block: The effects that vary between groups.
        table: The first data set.
    """

    def __init__(self, block: Block, table: Table) -> None:
        self.name = block.factor.name
        self.text = block.text
        self.factor = block.factor
        self._environment = _environment(formulae(), table)
        levels = [levels_in(values) for values in self._columns(table)]
        words = self._words(table)
        self.levels = tuple(map(_word, levels[0]))
        if len(levels) > 1:
            self.levels = tuple(sorted(set(words)))
        if len(self.levels) < 2:
            raise ValueError(
                f"`{self.name}` in `{block.text}` must have at least two groups, got "
                f"{list(self.levels)}: one group has no variance between groups."
            )

    def values(self, table: Table, *, is_first: bool) -> Any:
        """The groups as strings; for the first data, a categorical column with all levels."""
        import pandas

        words = self._words(table)
        return (
            pandas.Categorical(words, categories=list(self.levels)) if is_first else words
        )

    def _columns(self, table: Table) -> list[Any]:
        table.check_whole(names_in(self.factor), self.text)
        return [
            values_of(component, table, self._environment)
            for component in self.factor.components
        ]

    def _words(self, table: Table) -> list[str]:
        columns = [list(map(_word, np.asarray(x).tolist())) for x in self._columns(table)]
        return [":".join(words) for words in zip(*columns, strict=True)]


class Numbers:
    """The columns of a layer term: its numeric columns in one array, and its categorical ones.

    A setting that names a column, such as ``by=store``, is a categorical column too.

    Args:
        call: The term's call, as parsed by formulae.
        table: The first data set.
    """

    def __init__(self, call: Any, table: Table) -> None:
        self.name = str(call)
        self._call = call
        self._environment = _environment(formulae(), table)
        self._by = {
            k: v for k, v in call.kwargs.items() if names_in(v) & table.columns.keys()
        }
        self.settings = {
            key: evaluated(self.name, value, table, self._environment)
            for key, value in call.kwargs.items()
            if key not in self._by
        }
        make = registry.get("formula_terms", call.callee)
        self._has_levels = getattr(make, "numbers_are_levels", False)
        self.by = {key: f"{key}={value}" for key, value in self._by.items()}
        self.levels: dict[str, tuple[Any, ...]] = {}
        self.ordered: set[str] = set()
        labels: list[str] = []
        for name, argument, values in self._arguments(table):
            if not self._is_category(name, values):
                several = np.ndim(values) == 2
                wide = range(np.shape(values)[1]) if several else ()
                labels += [f"{name}[{i}]" for i in wide] or [name]
                continue
            self.levels[name] = tuple(map(_word, levels_in(values)))
            if is_numeric(values) or names_in(argument) <= table.ordered:
                self.ordered.add(name)
        self.labels = tuple(labels)

    def _is_category(self, name: str, values: Any) -> bool:
        if name in self.by.values() and is_numeric(values):
            key = next(key for key, value in self.by.items() if value == name)
            raise ValueError(
                f"`{name}` in the term `{self.name}` must hold categories, got numbers: "
                f"`{key}=` is not a multiplier. If each number is a group, convert it with "
                "`data[...].astype(str)`."
            )
        return name in self.levels or self._has_levels or not is_numeric(values)

    def _arguments(self, table: Table) -> list[tuple[str, Any, Any]]:
        """The name, expression and values of each column."""
        table.check_whole(names_in(self._call), self.name)
        named = [(str(a), a) for a in self._call.args]
        named += [(self.by[key], value) for key, value in self._by.items()]
        found = [
            (name, a, evaluated(self.name, a, table, self._environment))
            for name, a in named
        ]
        for name, _, values in found:
            if np.ndim(values) not in (1, 2) or len(values) != len(table):
                raise ValueError(
                    f"`{name}` in the term `{self.name}` must be a column, got {values!r}. "
                    "Settings are given by name: `s(x, k=10)`."
                )
        return found

    def numbers(self, table: Table) -> np.ndarray | None:
        """The numeric columns: (n,) for one, (n, d) for several; None if there are none."""
        found = [
            np.asarray(values, float)
            for name, _, values in self._arguments(table)
            if name not in self.levels
        ]
        if not found:
            return None
        check_finite(self.name, np.column_stack(found))
        return (
            found[0] if len(found) == 1 and found[0].ndim == 1 else np.column_stack(found)
        )

    def categories(self, table: Table, *, is_first: bool) -> dict[str, Any]:
        """The categorical columns by name."""
        import pandas

        found = {n: v for n, _, v in self._arguments(table) if n in self.levels}
        words = {n: list(map(_word, np.asarray(v).tolist())) for n, v in found.items()}
        if not is_first:
            return words
        return {
            name: pandas.Categorical(column, categories=list(self.levels[name]))
            for name, column in words.items()
        }


def values_of(component: Any, table: Table, environment: Any) -> Any:
    """The values of a variable or a call; categories are not coded."""
    call = getattr(component, "call", None)
    if call is None:
        return table[component.name]
    values = evaluated(component.name, call, table, environment)
    return values.data if hasattr(values, "contrast") else values


def evaluated(name: str, part: Any, table: Table, environment: Any) -> Any:
    """The value of an expression.

    Raises:
        ValueError: If it cannot be computed; the error names the term and the cause.
    """
    try:
        with np.errstate(all="ignore"):  # non-finite values raise an error later
            return part.eval(table, environment)
    except Exception as error:
        raise ValueError(
            f"`{part}` in the term `{name}` cannot be computed: {type(error).__name__}: {error}"
        ) from error


def check_finite(name: str, values: Any) -> None:
    """Check that all numbers are finite.

    Raises:
        ValueError: If one is not; the error names the term and the row.
    """
    rows = np.asarray(values, float).reshape(len(values), -1)
    bad = np.flatnonzero(~np.isfinite(rows).all(1))
    if bad.size:
        found = rows[bad[0]][~np.isfinite(rows[bad[0]])][0]
        raise ValueError(
            f"`{name}` must be finite, got {found} in row {bad[0]}; {bad.size} rows are not "
            "finite. Leave these rows out, or change the term (the logarithm of 0 is not "
            "finite, for example)."
        )


def _environment(package: Any, table: Table) -> Any:
    return package.Environment([table.namespace])


def _check_levels(term: Any, table: Table) -> None:
    """Check that each category of a term occurs in a row."""
    for component in term.components:
        if component.kind != "categoric":
            continue
        values = values_of(component, table, getattr(component, "env", None))
        empty = [v for v in component.levels if v not in set(np.asarray(values).tolist())]
        if empty:
            raise ValueError(
                f"The term `{term.name}` has no row with the level {empty[0]!r} of "
                f"`{component.name}`. Remove the level, "
                f"`data[{component.name!r}].cat.remove_unused_categories()`, or use group "
                f"effects: `(1 | {component.name})`."
            )


def _check_known(term: Any, table: Table) -> None:
    """Check that later data have no categories that the first data did not have."""
    for component in term.components:
        if component.kind != "categoric":
            continue
        values = values_of(component, table, getattr(component, "env", None))
        new = sorted(set(np.asarray(values).tolist()) - set(component.levels), key=str)
        if new:
            raise ValueError(
                f"`{component.name}` in the term `{term.name}` has the level {new[0]!r}, which "
                "the data of the formula did not have. Known levels: "
                f"{list(component.levels)}. Leave such rows out, or use group effects: `(1 | "
                f"{component.name})`."
            )


def _short(label: str, term: str) -> str:
    """The label of a column without the name of its term: ``b`` for ``C(g)[b]``."""
    if label.startswith(term + "[") and label.endswith("]"):
        return label[len(term) + 1 : -1]
    return label


def _word(value: Any) -> str:
    """A category as a string; whole numbers without a decimal point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
