"""The right-hand side of a formula: from tables to the arrays of its terms."""

from typing import Any

import numpy as np

from ._checked import check_independent
from ._columns import Coded, Group, Numbers, check_finite, evaluated
from ._program import ROWS
from ._table import Table, names_in
from ._text import Block, Parsed, formulae


class RightSide:
    """The terms of one predictor; their coding is learned from the first table.

    Args:
        parsed: The formula.
        table: The first table.
        parameter: The predicted parameter of the likelihood; empty for its location.
    """

    def __init__(self, parsed: Parsed, table: Table, parameter: str = "") -> None:
        self.parsed = parsed
        self.parameter = parameter
        self._namespace = table.namespace
        self.common = Coded.all(parsed.common, parsed.has_intercept, table)
        self.blocks: list[tuple[Block, list[Coded], Group]] = [
            (block, Coded.of_block(block, table), Group(block, table))
            for block in parsed.blocks
        ]
        self.special = [Numbers(call, table) for call in parsed.special]

    def named(self, name: str) -> str:
        """The name of a term or of its arrays, with the parameter as prefix: ``sigma.x``."""
        return f"{self.parameter}.{name}" if self.parameter else name

    def key_of(self, group: Group) -> str:
        """The key of the groups of rows, which must differ from a term of the same name."""
        taken = {coded.name for coded in self.common}
        return self.named(group.name if group.name not in taken else f"({group.name})")

    def name_of(self, block: Block, columns: list[Coded]) -> str:
        """The name of group effects: ``1+Days|Subject``."""
        return self.named(f"{'+'.join(c.name for c in columns)}|{block.factor.name}")

    def arrays(self, table: Table, *, is_first: bool = False) -> dict[str, Any]:
        """Arrays and tables by name."""
        import pandas

        data: dict[str, Any] = {}
        for coded in self.common:
            values = coded.values(table, is_first=is_first)
            frame = pandas.DataFrame(values, columns=list(coded.labels))
            data[self.named(coded.name)] = frame
        for block, columns, group in self.blocks:
            if len(columns) > 1 or columns[0].term is not None:
                values = [c.values(table, is_first=is_first) for c in columns]
                labels = [label for c in columns for label in c.labels]
                table_of = pandas.DataFrame(np.concatenate(values, 1), columns=labels)
                data[self.name_of(block, columns)] = table_of
            data[self.key_of(group)] = group.values(table, is_first=is_first)
        for special in self.special:
            name, numbers = self.named(special.name), special.numbers(table)
            if numbers is not None:
                is_one = numbers.ndim == 1
                labels = list(special.labels)
                data[name] = (
                    numbers if is_one else pandas.DataFrame(numbers, columns=labels)
                )
            for level, column in special.categories(table, is_first=is_first).items():
                data[f"{name}[{level}]"] = column
        if not data:
            data[self.named(ROWS)] = np.zeros(len(table))
        return data

    def offset(self, table: Table) -> np.ndarray | None:
        """The offset of each row's prediction; None if there is none."""
        if not self.parsed.offsets:
            return None
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

    @property
    def needed(self) -> set[str]:
        """The names of arguments that predictions need."""
        parts = [*self.parsed.common, *self.parsed.special, *self.parsed.offsets]
        for block in self.parsed.blocks:
            parts += [*block.columns, block.factor]
        return set().union(*map(names_in, parts))

    def check(self, data: dict[str, Any]) -> None:
        """Check that the columns of the first table are linearly independent."""
        found = [
            (coded.name, label, np.asarray(data[self.named(coded.name)])[:, at])
            for coded in self.common
            for at, label in enumerate(coded.labels)
        ]
        check_independent(found, self.parsed.has_intercept)
