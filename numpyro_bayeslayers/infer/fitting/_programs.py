"""A cache of compiled programs between calls of `fit`."""

import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import Any

import jax
from numpyro.distributions import Distribution
from numpyro.primitives import _PYRO_STACK

from ._cache_key import cache_key
from ._data import Data

#: The maximal number of combinations of model, shapes and method whose programs are cached.
MOST = 16


class Kept:
    """A cache of the most recently used objects, each with its compiled programs.

    An object has one user at a time: while it is taken, no other caller can take it.

    Args:
        most: The maximal number of objects.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, Any] = {}  # the most recently used object comes last
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @contextmanager
    def take(self, key: Hashable | None, make: Callable[[], Any]) -> Generator[Any]:
        """Take the object with this key, or make one; it is cached unless an error occurs.

        Args:
            key: Equal for equivalent objects; None for one that is not cached.
            make: Creates an object that holds no reference to the data.
        """
        if key is None:
            yield make()
            return
        with self._lock:
            found = self._kept.pop(key, None)
        found = make() if found is None else found
        yield found
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = found
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._kept.clear()


PROGRAMS = Kept(MOST)


def program_key(data: Data, *of: Any) -> Hashable | None:
    """The key of programs for data of these shapes; None if it cannot be determined.

    Args:
        data: The data; only the shapes and types of the rows matter.
        of: The ingredients of the programs: models and guides with their constants, ...
    """
    if _PYRO_STACK:  # handlers around the call of `fit` would be part of the programs
        return None
    rows = jax.tree.map(lambda x: (x.shape, str(x.dtype), x.weak_type), data.rows)
    return cache_key(rows, of, _settings())


def _settings() -> tuple[Any, ...]:
    """The current settings of NumPyro and JAX."""
    names = sorted(jax.config.values)
    jax_settings = tuple(repr(getattr(jax.config, name, None)) for name in names)
    return Distribution._validate_args, jax_settings
