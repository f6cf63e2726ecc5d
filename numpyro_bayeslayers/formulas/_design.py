"""From tables to the arrays of a formula, as the first table says."""

from typing import Any

import numpy as np

from .. import registry
from ._checked import check_independent
from ._columns import Coded, Group, Numbers, check_finite, evaluated
from ._family import Family
from ._outcome import WRAPPERS, Outcome
from ._program import ROWS
from ._table import Table, names_in
from ._text import Block, Parsed, check_names, formulae, parse


class Design:
    """What a formula makes of tables; the first one says how.

    Args:
        text: The formula.
        data: The first table.
        family: The likelihood.
        namespace: Functions and values that the formula may name.
    """

    def __init__(
        self, text: str, data: Any, family: Family, namespace: dict[str, Any]
    ) -> None:
        terms = registry.available("formula_terms")
        self._namespace = {"np": np, **formulae().functions, **namespace}
        self._namespace.pop("hsgp", None)  # gp is a process, not only its basis
        self.parsed: Parsed = parse(text, terms)
        table = self.table(data)
        known = self._namespace | {word: word for word in WRAPPERS}
        check_names(self.parsed, list(table.columns), known, terms)
        self.outcome = Outcome(self.parsed.outcome, family, table)
        self.common = Coded.all(self.parsed.common, self.parsed.has_intercept, table)
        self.blocks: list[tuple[Block, list[Coded], Group]] = [
            (block, Coded.of_block(block, table), Group(block, table))
            for block in self.parsed.blocks
        ]
        self.special = [Numbers(str(call), call, table) for call in self.parsed.special]
        self.first = self.rows(table, is_first=True)
        self.needed = sorted(self._names() & table.columns.keys())
        self._check()

    def table(self, data: Any) -> Table:
        """A table of the user's, checked."""
        return Table.of(data, self._namespace)

    def key_of(self, group: Group) -> str:
        """Under which name the groups of rows are: a term of this name may be there too."""
        taken = {coded.name for coded in self.common}
        return group.name if group.name not in taken else f"({group.name})"

    @staticmethod
    def name_of(block: Block, columns: list[Coded]) -> str:
        """The name of effects of groups: ``1+Days|Subject``."""
        return f"{'+'.join(c.name for c in columns)}|{block.factor.name}"

    def rows(self, table: Table, *, is_first: bool = False) -> dict[str, Any]:
        """The arguments of the model but the outcome: arrays and tables by name."""
        import pandas

        data: dict[str, Any] = {}
        for coded in self.common:
            values = coded.values(table, is_first=is_first)
            data[coded.name] = pandas.DataFrame(values, columns=list(coded.labels))
        for block, columns, group in self.blocks:
            if len(columns) > 1 or columns[0].term is not None:
                values = [c.values(table, is_first=is_first) for c in columns]
                labels = [label for c in columns for label in c.labels]
                table_of = pandas.DataFrame(np.concatenate(values, 1), columns=labels)
                data[self.name_of(block, columns)] = table_of
            data[self.key_of(group)] = group.values(table, is_first=is_first)
        for special in self.special:
            numbers = special.numbers(table)
            if numbers is not None:
                wide = (
                    numbers if numbers.ndim == 1 else self._named(numbers, special.labels)
                )
                data[special.name] = wide
            for name, column in special.categories(table, is_first=is_first).items():
                data[f"{special.name}[{name}]"] = column
        if not data:
            data[ROWS] = np.zeros(len(table))
        found: dict[str, Any] = {"data": data}
        if self.parsed.offsets:
            found["offset"] = self._offset(table)
        return found | self.outcome.beside(table, is_first=is_first)

    @staticmethod
    def _named(numbers: np.ndarray, labels: tuple[str, ...]) -> Any:
        import pandas

        return pandas.DataFrame(numbers, columns=list(labels))

    def _offset(self, table: Table) -> np.ndarray:
        total = np.zeros(len(table))
        environment = formulae().Environment([self._namespace])
        for call in self.parsed.offsets:
            if len(call.args) != 1:
                raise ValueError(
                    f"`{call}` must have one argument: `offset(np.log(days))`."
                )
            values = evaluated(str(call), call.args[0], table, environment)
            values = np.broadcast_to(np.asarray(values, float), (len(table),))
            check_finite(str(call), values)
            total = total + values
        return total

    def _names(self) -> set[str]:
        """The columns without which nothing can be predicted."""
        parts = [*self.parsed.common, *self.parsed.special, *self.parsed.offsets]
        for block in self.parsed.blocks:
            parts += [*block.columns, block.factor]
        return set().union(*map(names_in, parts), self.outcome.needed)

    def _check(self) -> None:
        found = [
            (coded.name, label, np.asarray(self.first["data"][coded.name])[:, at])
            for coded in self.common
            for at, label in enumerate(coded.labels)
        ]
        check_independent(found, self.parsed.has_intercept)
