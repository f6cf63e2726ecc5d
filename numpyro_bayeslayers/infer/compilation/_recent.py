"""A bounded cache that drops the least recently used entries."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

import jax

Made = TypeVar("Made")

#: The largest number of programs of one object, one per shape of arguments; each takes
#: megabytes.
MOST = 32


class Recent(Generic[Made]):
    """A bounded cache of objects that are expensive to make.

    Args:
        most: The largest number of entries.

    Example:
        >>> squares = Recent(most=2)
        >>> [squares.get(n, lambda: n**2) for n in (1, 2, 3, 2)]
        [1, 4, 9, 4]
        >>> list(squares)
        [9, 4]
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._made: dict[Hashable, Made] = {}  # the most recently used is last

    def __contains__(self, key: Hashable) -> bool:
        return key in self._made

    def __iter__(self) -> Iterator[Made]:
        return iter(self._made.values())

    def __len__(self) -> int:
        return len(self._made)

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The entry of `key`, made if it is not in the cache."""
        found = self._made.pop(key) if key in self._made else make()
        self._made[key] = found
        while len(self._made) > self._most:
            del self._made[next(iter(self._made))]
        return found


def shapes_of(*trees: Any) -> tuple[Hashable, ...]:
    """The shapes and dtypes of all arrays, which identify a compiled program."""
    leaves = [x for x in jax.tree.leaves(trees) if hasattr(x, "shape")]
    return tuple((x.shape, x.dtype) for x in leaves)
