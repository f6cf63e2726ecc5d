"""What functions, objects and arrays are, in words that are the same in every process.

An optimizer of optax is a pair of closures; its settings are what the closures hold. Here
objects are walked down to their numbers, each under the path that leads to it, so that two of
them can be compared line by line.
"""

import functools
import hashlib
import inspect
import itertools
import types
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._jit import is_dynamic

_DEEPEST, _MOST = 16, 4000


def settings_of(value: Any) -> dict[str, str]:
    """The settings inside a function or an object, by the path that leads to each.

    Example:
        >>> def scaled_by(factor):
        ...     return lambda x: factor * x
        >>> settings_of(scaled_by(2.0))["factor"]
        '2.0'
    """
    return dict(itertools.islice(_walk("", value, frozenset(), 0), _MOST))


def digest(array: Any) -> str:
    """A hash of the bytes of an array."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    values = np.ascontiguousarray(array)
    return hashlib.blake2b(
        values.data.cast("B") if values.size else b"", digest_size=6
    ).hexdigest()


def kind_of(array: Any) -> str:
    """The type and shape of an array: ``float32 (50, 3)``."""
    return f"{array.dtype} {tuple(array.shape)}"


def name_of(value: Any) -> str:
    """The name of a class or a function."""
    return getattr(value, "__qualname__", type(value).__qualname__).replace("<locals>.", "")


def _walk(
    path: str, value: Any, above: frozenset[int], depth: int
) -> Iterator[tuple[str, str]]:
    plain = _plain(value)
    if plain is not None:
        yield path or "value", plain
        return
    if id(value) in above or depth > _DEEPEST:
        return
    yield path or "kind", name_of(value)
    if (
        isinstance(value, types.FunctionType)
        and "site-packages" not in value.__code__.co_filename
    ):
        yield f"{path}.code".lstrip("."), _code(value.__code__)
    for name, part in _parts(value):
        inner = f"{path}.{name}" if path else name
        yield from _walk(inner, part, above | {id(value)}, depth + 1)


def _plain(value: Any) -> str | None:
    """A value that has no parts, in words; None for others."""
    if isinstance(value, jax.core.Tracer):
        return kind_of(value)
    if is_dynamic(value):
        is_number = value.ndim == 0 and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        return repr(value.item()) if is_number else f"{kind_of(value)} {digest(value)}"
    if value is None or isinstance(
        value, (bool, int, float, complex, str, bytes, np.dtype)
    ):
        return repr(value)
    if isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType)):
        return getattr(value, "__qualname__", getattr(value, "__name__", ""))
    return None


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What is inside a value, by name."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (tuple, list)):
        return [(str(i), part) for i, part in enumerate(value)]
    if isinstance(value, functools.partial):
        return [("fn", value.func), *_parts(value.args), *_parts(value.keywords)]
    if isinstance(value, types.MethodType):
        return [("self", value.__self__), ("fn", value.__func__)]
    inner = inspect.unwrap(value) if callable(value) else value
    if isinstance(inner, types.FunctionType):
        return _inside_function(inner)
    return [
        (n, v) for n, v in getattr(value, "__dict__", {}).items() if not n.startswith("__")
    ]


def _code(code: types.CodeType) -> str:
    """A hash of what a function of the user's does, which has no other name."""
    found = hashlib.blake2b(code.co_code, digest_size=6)
    for constant in code.co_consts:
        found.update(_constant(constant).encode())
    found.update(repr(code.co_names).encode())
    return found.hexdigest()


def _constant(value: Any) -> str:
    """A constant in a function's code."""
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # words have another order in each process
        return repr(sorted(map(repr, value)))
    return repr(value)


def _inside_function(fn: types.FunctionType) -> list[tuple[str, Any]]:
    found = []
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # not filled yet
            continue
    parameters = inspect.signature(fn).parameters.values()
    defaults = [(p.name, p.default) for p in parameters if p.default is not p.empty]
    return [*found, *defaults]
