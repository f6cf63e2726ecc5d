"""What a formula term receives and returns."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeAlias, TypeVar

from jaxtyping import Array

# From the arrays of a term's columns to its contribution to each row's prediction, (n, units).
Forward: TypeAlias = Callable[..., Array]


class Term(NamedTuple):
    """What is known about a formula term when the formula is parsed.

    Args:
        name: The term as written in the formula, ``"s(age, k=10)"``; also the name of its
            layer.
        columns: The names of its numeric columns.
        levels: The categories of its categorical columns, by column name.
        units: The number of predictions per row: 1, except for outcomes with several columns or
            classes.
        scale: The scale of the predictions: the standard deviation of the outcome, or 1 where
            predictions are logarithms or log odds.
        num_rows: The number of rows of the data.
        prior: The prior given for this term in `priors`; None for the default.
        ordered: The categorical columns whose levels are ordered.
    """

    name: str
    columns: tuple[str, ...] = ()
    levels: dict[str, tuple[Any, ...]] = {}
    units: int = 1
    scale: float = 1.0
    num_rows: int = 1
    prior: Any = None
    ordered: frozenset[str] = frozenset()

    def refuse(self, what: str) -> NoReturn:
        """Raise an error that names the term.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"The term `{self.name}` {what}")


Make = TypeVar("Make", bound=Callable[..., Forward])


def numbers_are_levels(make: Make) -> Make:
    """Mark a term that treats all its columns as categorical, numeric ones included.

    The term is called with codes from 0, in increasing order of the numbers.
    """
    make.numbers_are_levels = True  # ty: ignore[missing-attribute]
    return make
