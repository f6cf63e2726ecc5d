"""Compiled programs, kept from one call of `fit` to the next."""

import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import Any

import jax
from numpyro.distributions import Distribution
from numpyro.primitives import _PYRO_STACK

from ._cache_key import cache_key
from ._data import Data

#: The most models, of their shapes and methods, whose programs are kept.
MOST = 16


class Kept:
    """The objects that were used last, each with the programs that it has compiled.

    An object belongs to one user at a time: who takes it has it alone until it is given back.

    Args:
        most: The most objects that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, Any] = {}  # the one that was used last is the last one
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @contextmanager
    def take(self, key: Hashable | None, make: Callable[[], Any]) -> Generator[Any]:
        """Take the object with this key, or make one; it is kept if nothing fails meanwhile.

        Args:
            key: Equal for objects that are alike; None for one that is not to be kept.
            make: Makes an object that does not hold the data.
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
        """Let go of all."""
        with self._lock:
            self._kept.clear()


PROGRAMS = Kept(MOST)


def program_key(data: Data, *of: Any) -> Hashable | None:
    """The key of programs for data of these shapes; None if it cannot be told.

    Args:
        data: The data, of whose rows only the shapes and types count.
        of: What the programs are made of: models and guides with their constants, ...
    """
    if _PYRO_STACK:  # handlers around the call of `fit` would be part of the programs
        return None
    rows = jax.tree.map(lambda x: (x.shape, str(x.dtype), x.weak_type), data.rows)
    return cache_key(rows, of, _settings())


def _settings() -> tuple[Any, ...]:
    """What NumPyro and JAX are set to, here and now."""
    names = sorted(jax.config.values)
    jax_settings = tuple(repr(getattr(jax.config, name, None)) for name in names)
    return Distribution._validate_args, jax_settings
