"""What was made last is kept, and what was not asked for for long is let go of."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

import jax

Made = TypeVar("Made")

#: The most programs of one object, one for each shape of its arguments: each takes megabytes.
MOST = 32


class Recent(Generic[Made]):
    """A bounded store of what is dear to make.

    Args:
        most: The most that is kept.

    Example:
        >>> squares = Recent(most=2)
        >>> [squares.get(n, lambda: n**2) for n in (1, 2, 3, 2)]
        [1, 4, 9, 4]
        >>> list(squares)
        [9, 4]
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._made: dict[Hashable, Made] = {}  # what was asked for last is the last one

    def __contains__(self, key: Hashable) -> bool:
        return key in self._made

    def __iter__(self) -> Iterator[Made]:
        return iter(self._made.values())

    def __len__(self) -> int:
        return len(self._made)

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What belongs to `key`; it is made if it is not there."""
        found = self._made.pop(key) if key in self._made else make()
        self._made[key] = found
        while len(self._made) > self._most:
            del self._made[next(iter(self._made))]
        return found


def shapes_of(*trees: Any) -> tuple[Hashable, ...]:
    """The shapes and types of all arrays: what a compiled program is for."""
    leaves = [x for x in jax.tree.leaves(trees) if hasattr(x, "shape")]
    return tuple((x.shape, x.dtype) for x in leaves)
