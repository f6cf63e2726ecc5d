"""Cache keys of compiled programs, equal only if the programs would be equal.

A compiled program depends on everything that its Python functions read while they are traced:
their code, defaults, closures and global variables, and those of the functions that they call.
Two models that are equal in all of this have the same key even if they are different objects (a
lambda in a loop, a notebook cell that was run again); a model whose global variable has changed
has a different key. If equality cannot be decided with certainty there is no key, and the
program is compiled anew.
"""

import enum
import functools
import hashlib
import sys
import types
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from ..compilation._jit import is_dynamic
from ..compilation._library import is_library, is_library_code, slots_of

#: The maximal number of bytes of arrays that one key may read.
MOST_BYTES = 2**26

_CHECKED = "jaxtyping._decorator"
_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.dtype, enum.Enum)


class UnknownError(Exception):
    """Raised for a value that may change without notice."""


def cache_key(*values: Any) -> Hashable | None:
    """A key of `values` that is equal for equal programs; None if that cannot be decided.

    Args:
        values: Functions, Equinox modules, distributions, optimizers, objectives, containers,
            arrays and plain values.

    Example:
        >>> make = lambda scale: lambda x: scale * x
        >>> cache_key(make(2.0)) == cache_key(make(2.0)), cache_key(make(3.0)) is None
        (True, False)
        >>> cache_key(make(2.0)) == cache_key(make(3.0))
        False
    """
    try:
        return _Reader().read(values)
    except (UnknownError, RecursionError):
        return None


class _Reader:
    """Reads each value once: a repeated value becomes its number, which also ends cycles."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []
        self._bytes = 0

    def read(self, value: Any) -> Hashable:
        if isinstance(value, _PLAIN) or value is ... or value is NotImplemented:
            return type(value), repr(value) if isinstance(
                value, (float, complex)
            ) else value
        if id(value) in self._numbers:
            return "again", self._numbers[id(value)]
        self._numbers[id(value)] = len(self._numbers)
        self._alive.append(value)  # keeps the object alive, so that its id stays unique
        return self._compound(value)

    def _compound(self, value: Any) -> Hashable:
        if is_dynamic(value):
            return self._array(value)
        if isinstance(value, (tuple, list)):
            return type(value), tuple(map(self.read, value))
        if isinstance(value, Mapping):
            # In order: the order of a dictionary may be that of the sites.
            pairs = tuple((self.read(k), self.read(v)) for k, v in value.items())
            return type(value), pairs
        if isinstance(value, (set, frozenset)):
            if not all(isinstance(v, _PLAIN) for v in value):
                raise UnknownError
            return type(value), frozenset(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return "method", self.read(value.__func__), self.read(value.__self__)
        if isinstance(value, functools.partial):
            return "partial", *map(self.read, (value.func, value.args, value.keywords))
        if isinstance(value, types.ModuleType):
            return "module", value.__name__
        if isinstance(value, types.BuiltinFunctionType) and (
            value.__self__ is None or isinstance(value.__self__, types.ModuleType)
        ):
            return "builtin", value.__module__, value.__qualname__
        if isinstance(value, np.ufunc):
            return "ufunc", value.__name__
        return self._object(value)

    def _array(self, value: Any) -> Hashable:
        if isinstance(value, jax.core.Tracer):
            raise UnknownError
        if isinstance(value, jax.Array) and jax.dtypes.issubdtype(
            value.dtype, jax.dtypes.prng_key
        ):
            return str(value.dtype), self._array(jax.random.key_data(value))
        host = np.asarray(value)
        self._bytes += host.nbytes
        if self._bytes > MOST_BYTES or host.dtype.hasobject:
            raise UnknownError
        digest = hashlib.sha256(host.tobytes()).hexdigest()
        weak = getattr(value, "weak_type", None)
        return type(value).__module__, host.shape, host.dtype.str, weak, digest

    def _function(self, fn: types.FunctionType) -> Hashable:
        if fn.__globals__.get("__name__") == _CHECKED and hasattr(fn, "__wrapped__"):
            return self.read(fn.__wrapped__)  # checks of shapes are not part of a program
        code = fn.__code__
        cells = tuple(map(self._cell, fn.__closure__ or ()))
        defaults = self.read(fn.__defaults__), self.read(fn.__kwdefaults__)
        wrapped = self.read(vars(fn).get("__wrapped__"))
        # Module variables of libraries are assumed constant.
        is_library = is_library_code(code)
        names = () if is_library else self._globals(fn)
        return "function", code, fn.__module__, cells, defaults, wrapped, names

    def _cell(self, cell: types.CellType) -> Hashable:
        try:
            return self.read(cell.cell_contents)
        except ValueError:  # not filled yet
            return "empty"

    def _globals(self, fn: types.FunctionType) -> Hashable:
        """The global variables that the code and nested code may read."""
        found: list[tuple[Hashable, ...]] = []
        names = sorted(set(_names(fn.__code__)))
        for name in names:
            if name in fn.__globals__:
                value = fn.__globals__[name]
                found.append((name, self.read(value)))
                if isinstance(value, types.ModuleType) and not is_library(value):
                    # `settings.scale`, with a module `settings` of the user's.
                    of_module = [n for n in names if n in vars(value)]
                    found += [(name, n, self.read(vars(value)[n])) for n in of_module]
        return tuple(found)

    def _object(self, value: Any) -> Hashable:
        kind = type(value)
        if kind.__module__.startswith(("jax", "jaxlib")) and hasattr(value, "__wrapped__"):
            return "compiled", self.read(value.__wrapped__)
        if kind is object:  # a sentinel, which is only compared
            return _Same(value)
        slots = [s for base in kind.__mro__ for s in slots_of(base) if hasattr(value, s)]
        if not slots and not hasattr(value, "__dict__"):
            raise UnknownError
        inside = {s: getattr(value, s) for s in slots} | getattr(value, "__dict__", {})
        return "object", self.read(kind), self.read(inside)

    def _class(self, kind: type) -> Hashable:
        """A class, with what its methods read if it is user code."""
        if is_library(sys.modules.get(kind.__module__)):
            return kind
        bases = tuple(map(self.read, kind.__bases__))
        own = {n: v for n, v in vars(kind).items() if callable(v) or not n.startswith("_")}
        return kind, bases, tuple((n, self._member(v)) for n, v in own.items())

    def _member(self, value: Any) -> Hashable:
        if isinstance(value, (staticmethod, classmethod)):
            return self.read(value.__func__)
        if isinstance(value, property):
            return tuple(map(self.read, (value.fget, value.fset)))
        if isinstance(value, types.MemberDescriptorType):
            return "slot"
        return self.read(value)


class _Same:
    """An identity key: equal only for the same object, which it keeps alive."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
