"""Descriptions of functions, objects and arrays as text that is the same in every process.

An optax optimizer is a pair of closures, which contain its settings. Objects are traversed down
to their numbers, each with its path, so that two objects can be compared line by line.
"""

import copyreg
import functools
import hashlib
import inspect
import itertools
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.primitives import Messenger

from ... import _processes
from ._jit import is_dynamic
from ._library import is_library, is_library_code, slots_of

# Limits on the depth of the traversal, the number of texts, and the number before hashing.
_DEEPEST, _MOST, _HASHED = 16, 4000, 100_000


def settings_of(value: Any) -> dict[str, str]:
    """The settings inside a function or an object, by path.

    Example:
        >>> def scaled_by(factor):
        ...     return lambda x: factor * x
        >>> settings_of(scaled_by(2.0))["factor"]
        '2.0'
    """
    walk = _walk("", value, frozenset(), 0)
    found: dict[str, str] = {}
    for path, text in itertools.islice(walk, _MOST):
        while path in found:  # such as the dictionary keys 1 and "1"
            path += "'"
        found[path] = text
    if rest := list(itertools.islice(walk, _HASHED)):
        found["rest"] = _hash(repr(rest).encode())
    return found


def digest(array: Any) -> str:
    """A hash of the bytes of an array."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    return _hash(
        np.ascontiguousarray(_processes.whole(array)).reshape(-1).view(np.uint8).data
    )


def _hash(content: Any) -> str:
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def kind_of(array: Any) -> str:
    """The dtype and shape of an array: ``float32 (50, 3)``."""
    dtype = array.dtype if hasattr(array, "dtype") else jnp.result_type(array)
    return f"{dtype} {np.shape(array)}"


def name_of(value: Any) -> str:
    """The name of a class, a function, or a function under a handler: ``flipout(model)``."""
    name = getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(value, Messenger) and value.fn is not None:
        name = f"{type(value).__qualname__}({name})"
    return name.replace("<locals>.", "")


def _walk(
    path: str, value: Any, above: frozenset[int], depth: int
) -> Iterator[tuple[str, str]]:
    plain = _plain(value)
    if plain is not None:
        yield path or "value", plain
        return
    if id(value) in above or depth > _DEEPEST:
        return
    if isinstance(value, Set):
        yield path or "value", _unordered(value, above | {id(value)}, depth)
        return
    yield path or "kind", name_of(value)
    for code in _codes(value):
        yield f"{path}.code".lstrip("."), code
    for name, part in _parts(value):
        inner = f"{path}.{name}" if path else name
        yield from _walk(inner, part, above | {id(value)}, depth + 1)


def _unordered(value: Iterable[Any], above: frozenset[int], depth: int) -> str:
    """The elements of a set, whose order differs between processes."""
    words = []
    for member in value:
        texts = dict(itertools.islice(_walk("", member, above, depth + 1), _MOST))
        plain = texts.pop("value", "")
        words.append(plain + (_hash(repr(sorted(texts.items())).encode()) if texts else ""))
    return f"{{{', '.join(sorted(words))}}}"


def _plain(value: Any) -> str | None:
    """A value without parts, as text; None for other values."""
    if isinstance(value, jax.core.Tracer):
        return kind_of(value)
    if is_dynamic(value) and not _has_parts(value):
        is_number = value.ndim == 0 and jnp.issubdtype(value.dtype, np.number)
        is_number = is_number or (value.ndim == 0 and value.dtype == bool)
        return repr(value.item()) if is_number else f"{kind_of(value)} {digest(value)}"
    if value is None or isinstance(
        value, (bool, int, float, complex, str, bytes, bytearray, range, slice, np.dtype)
    ):
        return repr(value)
    if isinstance(value, types.BuiltinFunctionType):
        own = value.__self__
        is_bound = own is not None and not isinstance(own, types.ModuleType)
        return None if is_bound else value.__qualname__
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, type) and not _is_own(value):
        return value.__qualname__
    return None


def _has_parts(array: Any) -> bool:
    """Whether an array contains more than its bytes."""
    return array.dtype == object or isinstance(array, np.ma.MaskedArray)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """The parts of a value, by name."""
    if isinstance(value, np.ma.MaskedArray):
        return [("data", value.filled()), ("mask", np.ma.getmaskarray(value))]
    if isinstance(value, np.ndarray):
        return [(str(i), part) for i, part in enumerate([value.shape, *value.ravel()])]
    if isinstance(value, Mapping):
        return [(k if isinstance(k, str) else repr(k), v) for k, v in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (Sequence, ValuesView)):
        return [(str(i), part) for i, part in enumerate(value)]
    if isinstance(value, functools.partial):
        return [("fn", value.func), *_parts(value.args), *_parts(value.keywords)]
    if isinstance(value, (types.MethodType, types.BuiltinFunctionType)):
        return [
            ("self", value.__self__),
            ("fn", getattr(value, "__func__", value.__name__)),
        ]
    if isinstance(value, type):
        return []
    wrapped = getattr(value, "__wrapped__", None) if callable(value) else None
    if not isinstance(value, types.FunctionType):
        own = _inside_object(value)
    elif wrapped is not None and is_library_code(value.__code__):
        own = []  # such as shape checks
    else:
        own = _inside_function(value)
    if wrapped is None or any(part is wrapped for _, part in own):
        return own
    return [*own, ("wrapped", wrapped)]


def _inside_object(value: Any) -> list[tuple[str, Any]]:
    """The attributes of an object; without any, the arguments to rebuild it."""
    kind = type(value)
    if isinstance(value, Messenger):  # the other attributes belong to the run
        return [(n, part) for n, part in vars(value).items() if not n.startswith("_")]
    slots = [s for base in kind.__mro__ for s in slots_of(base)]
    found = {s: getattr(value, s) for s in slots if hasattr(value, s)}
    found |= getattr(value, "__dict__", {})
    ways = ("__reduce__", "__reduce_ex__", "__getstate__")
    says = any(getattr(kind, n, None) is not getattr(object, n, None) for n in ways)
    again = _made_of(value) if says or not found else []
    return again or [(n, part) for n, part in found.items() if not n.startswith("__")]


def _made_of(value: Any) -> list[tuple[str, Any]]:
    """The arguments to rebuild an object, without state from its use."""
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        made = value.__reduce_ex__(2) if reduce is None else reduce(value)
    except Exception:  # a lock or a file: nothing to compare
        return []
    if isinstance(made, str):
        return [("name", made)]
    parts = [tuple(p) if isinstance(p, Iterator) else p for p in made[1:] if p is not None]
    return [(str(i), part) for i, part in enumerate(parts)]


def _is_own(kind: type) -> bool:
    """Whether a class is defined by the user, so that its name does not identify it."""
    return not is_library(sys.modules.get(kind.__module__))


def _codes(value: Any) -> list[str]:
    """Hashes of the code of the user's functions."""
    if isinstance(value, types.FunctionType):
        return [] if is_library_code(value.__code__) else [_code(value.__code__)]
    kinds = (value if isinstance(value, type) else type(value)).__mro__
    members = [member for k in kinds if _is_own(k) for member in vars(k).values()]
    members = [getattr(m, "__func__", getattr(m, "fget", m)) for m in members]
    found = [_code(fn.__code__) for fn in members if isinstance(fn, types.FunctionType)]
    return [_hash(repr(found).encode())] if found else []


def _code(code: types.CodeType) -> str:
    """A hash of the code of a function."""
    found = hashlib.blake2b(code.co_code, digest_size=6)
    for constant in code.co_consts:
        found.update(_constant(constant).encode())
    found.update(repr(code.co_names).encode())
    return found.hexdigest()


def _constant(value: Any) -> str:
    """A constant in the code of a function, as text."""
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # the order of strings differs between processes
        return repr(sorted(map(repr, value)))
    return repr(value)


def _inside_function(fn: types.FunctionType) -> list[tuple[str, Any]]:
    found = []
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # an empty cell of a closure
            continue
    parameters = inspect.signature(fn).parameters.values()
    defaults = [(p.name, p.default) for p in parameters if p.default is not p.empty]
    return [*found, *defaults]
