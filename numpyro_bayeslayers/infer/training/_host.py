"""Small programs on the host: by NumPy, one operation after another, with nothing compiled.

A check runs a model once, on few rows, and XLA would take a hundred times as long to compile
that as to run it. Here the traced program is taken by NumPy instead, if it consists of
operations that are known here and is small; which way is taken follows from the program alone.
The random numbers are those of JAX.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ._host_ops import OPERATIONS, packed

#: The most numbers that all operations of a program may give.
MOST = 2**25

# Operations that stand for a program, by the name of that.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
}


class UnknownError(Exception):
    """A program has an operation that is not known here, or is too large."""


def on_host(
    fn: Callable[..., Any], *args: Any, otherwise: Callable[..., Any] | None = None
) -> Any:
    """``fn(*args)`` as NumPy arrays; compiled, if it is not for NumPy.

    Args:
        fn: A function of pytrees of arrays, which can be traced.
        args: Its arguments.
        otherwise: A function that gives the same, for a program that is not for NumPy; `fn`
            if None.
    """
    program, shapes = jax.make_jaxpr(fn, return_shape=True)(*args)
    try:
        flat = evaluated(program, jax.tree.leaves(args))
    except UnknownError:
        return jax.device_get((otherwise or fn)(*args))
    return jax.tree.unflatten(jax.tree.structure(shapes), flat)


def some_rows(x: Any, rows: np.ndarray) -> Any:
    """Some entries along the first axis; nothing is compiled where the array is at hand."""
    is_far = isinstance(x, jax.Array) and (
        _is_key(x)
        or not x.is_fully_addressable
        or any(device.platform != "cpu" for device in x.devices())
    )
    return x[rows] if is_far else np.asarray(x)[rows]


def evaluated(program: ClosedJaxpr, args: Sequence[Any]) -> list[np.ndarray]:
    """The outputs of a traced program.

    Raises:
        UnknownError: If it is not for NumPy.
    """
    if not getattr(jax.config, "jax_threefry_partitionable", True):
        raise UnknownError("random numbers of another kind")
    if _size(program.jaxpr) > MOST:
        raise UnknownError("too large")
    with np.errstate(all="ignore"):
        avals = [v.aval for v in program.jaxpr.invars]
        given = [_typed(_of_jax(x), of) for x, of in zip(args, avals, strict=True)]
        return _run(program.jaxpr, program.consts, given)


def _size(jaxpr: Any) -> int:
    """How many numbers all operations give. All must be known."""
    size = 0
    for equation in jaxpr.eqns:
        inner = _inner(equation)
        if inner is not None:
            size += _size(inner[0])
        elif equation.primitive.name not in OPERATIONS:
            raise UnknownError(equation.primitive.name)
        size += sum(math.prod(v.aval.shape) for v in equation.outvars)
    return size


def _inner(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    """The program that an operation stands for, and its constants."""
    name = _CALLS.get(equation.primitive.name)
    if name is None:
        return None
    inner = equation.params.get(name)
    if inner is None:
        raise UnknownError(equation.primitive.name)
    return (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[np.ndarray]:
    known: dict[Any, Any] = dict(zip(jaxpr.invars, args, strict=True))
    known.update(zip(jaxpr.constvars, map(_of_jax, consts), strict=True))

    def read(v: Any) -> Any:
        return _typed(v.val, v.aval) if isinstance(v, Literal) else known[v]

    for equation in jaxpr.eqns:
        inputs, inner = [read(v) for v in equation.invars], _inner(equation)
        if inner is not None:
            outputs = _run(*inner, inputs)
        else:
            found = _taken(equation, inputs)
            outputs = found if isinstance(found, list) else [found]
        for v, x in zip(equation.outvars, outputs, strict=True):
            known[v] = _typed(x, v.aval)
    return [read(v) for v in jaxpr.outvars]


def _taken(equation: Any, inputs: Sequence[Any]) -> Any:
    try:
        return OPERATIONS[equation.primitive.name](equation, *inputs)
    except (NotImplementedError, ValueError, IndexError, TypeError) as error:
        raise UnknownError(equation.primitive.name) from error


def _typed(value: Any, aval: Any) -> np.ndarray:
    """An array of the type and shape that the program says it has."""
    if _is_key(aval) and aval.dtype != _threefry():
        raise UnknownError("random numbers of another kind")
    array = np.asarray(value, np.uint64 if _is_key(aval) else aval.dtype)
    if array.shape != aval.shape:
        raise UnknownError(f"{array.shape} where there should be {aval.shape}")
    return array


def _of_jax(value: Any) -> np.ndarray:
    if not _is_key(value):
        return np.asarray(value)
    if value.dtype != _threefry():
        raise UnknownError("random numbers of another kind")
    return packed(np.asarray(jax.random.key_data(value)))


@functools.cache
def _threefry() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32")).dtype


def _is_key(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
