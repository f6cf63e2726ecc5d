"""Convert values to JSON and named arrays, and back: containers, numbers, strings, random keys.

Functions and objects of other classes are refused. `pack_leaves` accepts any pytree and stores
only its leaves; the structure must be given when it is read.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _processes
from ._file import Arrays

_UNLIKE = "`{name}` must have the same structure as in the file: {how}."


class NotDataError(TypeError):
    """A value that cannot be stored in a file.

    Args:
        label: Its location.
        value: The value.
    """

    def __init__(self, label: str, value: Any) -> None:
        self.label = label
        self.kind = type(value).__name__
        super().__init__(
            f"`{label}` cannot be saved: its type is {self.kind}. Files can store numbers, "
            "strings, arrays, random keys, and lists, tuples and dictionaries of these."
        )


def pack(label: str, value: Any, arrays: Arrays) -> Any:
    """`value` as JSON; its arrays are added to `arrays` under names that start with `label`.

    Raises:
        NotDataError: If it contains anything that cannot be stored.
    """
    # Subclasses of these types, such as enumerations, are refused.
    if type(value) in (type(None), bool, str):
        return value
    if type(value) in (int, float):
        is_plain = type(value) is int or math.isfinite(value)
        return value if is_plain else {"float": repr(value)}
    if type(value) in (list, tuple):
        items = [pack(f"{label}/{i}", v, arrays) for i, v in enumerate(value)]
        return {type(value).__name__: items}
    if type(value) is dict:
        if not all(type(key) in (str, int) for key in value):
            raise NotDataError(f"{label}, a key of it,", next(iter(value)))
        pairs = [[key, pack(f"{label}/{key}", v, arrays)] for key, v in value.items()]
        return {"dict": pairs}
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return _pack_array(label, value, arrays)
    raise NotDataError(label, value)


def _pack_array(label: str, value: Any, arrays: Arrays) -> dict[str, Any]:
    if isinstance(value, jax.core.Tracer):
        raise NotDataError(label, value)
    if isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            name = _add(label, _processes.whole(jax.random.key_data(value)), arrays)
            return {"key": name, "impl": str(jax.random.key_impl(value))}
        kind = "weak" if value.weak_type else "jax"
        return {kind: _add(label, _processes.whole(value), arrays)}
    array, kind = np.asarray(value), "numpy" if isinstance(value, np.ndarray) else "scalar"
    if isinstance(value, np.ma.MaskedArray):
        raise NotDataError(label, value)
    if array.dtype.kind == "U":
        return {"words": array.tolist(), "type": array.dtype.str, "as": kind}
    if array.dtype.kind in "mM":
        name = _add(label, array.view(np.int64), arrays)
        return {"dates": name, "type": array.dtype.str, "as": kind}
    if array.dtype != bool and not jnp.issubdtype(array.dtype, np.number):
        raise NotDataError(label, value)
    return {kind: _add(label, array, arrays)}


def _add(label: str, array: np.ndarray, arrays: Arrays) -> str:
    name, number = label, 1
    while name in arrays:
        number += 1
        name = f"{label}#{number}"
    arrays[name] = array
    return name


def unpack(found: Any, arrays: Arrays) -> Any:
    """The value that `pack` described."""
    if not isinstance(found, dict):
        return found
    kind, inside = next(iter(found.items()))
    if kind == "float":
        return float(inside)
    if kind == "list":
        return [unpack(item, arrays) for item in inside]
    if kind == "tuple":
        return tuple(unpack(item, arrays) for item in inside)
    if kind == "dict":
        return {key: unpack(item, arrays) for key, item in inside}
    if kind == "words":
        return _as_given(np.array(inside, _type_of("U", found)), found)
    array = arrays[inside]
    if kind == "dates":
        return _as_given(array.view(_type_of("mM", found)), found)
    if kind == "key":
        return jax.random.wrap_key_data(jnp.asarray(array), impl=found["impl"])
    if kind == "jax":
        return jnp.asarray(array)
    if kind == "weak":  # a weak type, as for Python numbers
        zeros = jax.lax.full(array.shape, array.dtype.type(0).item())
        return zeros.at[...].set(array)
    return _as_given(array, {"as": kind})


def _as_given(array: np.ndarray, found: dict[str, Any]) -> Any:
    """A NumPy array, or its only entry."""
    return array[()] if found["as"] == "scalar" else np.array(array)


def _type_of(kinds: str, found: dict[str, Any]) -> np.dtype:
    dtype = np.dtype(found["type"])
    if dtype.kind not in kinds:
        raise ValueError(f"The file contains an array of the unknown type {dtype}.")
    return dtype


def pack_leaves(label: str, tree: Any, arrays: Arrays) -> Any:
    """The leaves of any pytree as JSON and arrays; leaves that cannot be stored are only named."""
    leaves = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        where = jax.tree_util.keystr(path)
        try:
            leaves.append([where, pack(label + where, leaf, arrays)])
        except NotDataError as error:
            leaves.append([where, {"kept out": error.kind}])
    return leaves


def unpack_leaves(name: str, found: Any, arrays: Arrays, like: Any) -> Any:
    """The pytree that `pack_leaves` stored, in the structure of `like`.

    Args:
        name: The name of `like` in errors.
        found: The result of `pack_leaves`.
        arrays: The arrays of the file.
        like: A pytree of the same structure and shapes; its leaves replace those that were not
            stored.

    Raises:
        ValueError: If the structure differs.
    """
    pairs, structure = jax.tree_util.tree_flatten_with_path(like)
    here = [jax.tree_util.keystr(path) for path, _ in pairs]
    there = [where for where, _ in found]
    if here != there:
        sides = [set(there) - set(here), set(here) - set(there)]
        more, less = (", ".join(sorted(side)[:3]) or "nothing more" for side in sides)
        raise ValueError(_UNLIKE.format(name=name, how=f"that has {more}, this {less}"))
    leaves = []
    for (_, twin), (where, packed) in zip(pairs, found, strict=True):
        if isinstance(packed, dict) and "kept out" in packed:
            leaves.append(twin)
            continue
        leaf = unpack(packed, arrays)
        shapes = np.shape(leaf), np.shape(twin)
        if shapes[0] != shapes[1]:
            how = f"{where} has the shape {shapes[0]} there, {shapes[1]} here"
            raise ValueError(_UNLIKE.format(name=name, how=how))
        leaves.append(leaf)
    return jax.tree_util.tree_unflatten(structure, leaves)
