"""What a term of a formula knows, and what it gives."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeAlias, TypeVar

from jaxtyping import Array

# From the arrays of a term's rows to what it adds to each row's prediction, (n, units).
Forward: TypeAlias = Callable[..., Array]


class Term(NamedTuple):
    """What a term of a formula knows when the formula is read.

    Args:
        name: The term as the formula has it, ``"s(age, k=10)"``: the name of its layer.
        columns: The names of its columns of numbers.
        levels: The categories of each of its columns of categories, by name.
        units: How many predictions each row has; 1 but for outcomes of several columns or
            classes.
        scale: How far predictions of rows may be from each other: the standard deviation of
            the outcome, or 1 where predictions are logarithms or log odds.
        num_rows: The rows of the data.
        prior: What was given for this term by `priors`; None for the default.
        ordered: Those columns of categories whose levels are in an order.
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
    """Mark a term whose columns are categories, also where they hold numbers.

    It is called with codes from 0, in the order of the numbers.
    """
    make.numbers_are_levels = True  # ty: ignore[missing-attribute]
    return make
