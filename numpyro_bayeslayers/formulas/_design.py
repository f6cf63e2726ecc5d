"""From tables to the arrays of a formula, with the coding of the first table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import registry
from ._family import Family
from ._outcome import WRAPPERS, Outcome
from ._program import OFFSET
from ._right_side import RightSide
from ._table import Table
from ._text import check_names, formulae, parse, parse_parameter


class Design:
    """How a formula turns tables into arrays; the coding is learned from the first table.

    Args:
        text: The formula.
        parameters: Formulas of further parameters of the likelihood, by parameter name.
        data: The first table.
        family: The likelihood.
        namespace: Functions and values that the formula may name.
    """

    def __init__(
        self,
        text: str,
        parameters: Mapping[str, Any],
        data: Any,
        family: Family,
        namespace: dict[str, Any],
    ) -> None:
        terms = registry.available("formula_terms")
        self._namespace = {"np": np, **formulae().functions, **namespace}
        self._namespace.pop("hsgp", None)  # `gp` is the whole process
        parsed = parse(text, terms)
        table = self.table(data)
        known = self._namespace | {word: word for word in WRAPPERS}
        check_names(parsed, list(table.columns), known, terms)
        self.outcome = Outcome(parsed.outcome, family, table)
        self.main = RightSide(parsed, table)
        self.parameters: dict[str, RightSide] = {}
        for name, right in parameters.items():
            own = parse_parameter(name, right, terms)
            # What is left of it is not a column.
            check_names(
                own._replace(outcome=parsed.outcome), list(table.columns), known, terms
            )
            self.parameters[name] = RightSide(own, table, name)
        self.first = self.rows(table, is_first=True)
        needed = self.outcome.needed.union(*(side.needed for side in self.sides))
        self.needed = sorted(needed & table.columns.keys())
        for side in self.sides:
            side.check(self.first["data"])

    @property
    def sides(self) -> tuple[RightSide, ...]:
        """The right-hand sides: of the location, and of other parameters."""
        return self.main, *self.parameters.values()

    def table(self, data: Any) -> Table:
        """The user's table, checked."""
        return Table.of(data, self._namespace)

    def rows(self, table: Table, *, is_first: bool = False) -> dict[str, Any]:
        """The arguments of the model except the outcome: arrays and tables by name."""
        data: dict[str, Any] = {}
        for side in self.sides:
            data |= side.arrays(table, is_first=is_first)
        found: dict[str, Any] = {"data": data}
        for side in self.sides:
            offset = side.offset(table)
            if offset is not None:
                (data if side.parameter else found)[side.named(OFFSET)] = offset
        return found | self.outcome.beside(table, is_first=is_first)
