"""Small programs on the host: by NumPy, one operation after another, with nothing compiled.

A check runs a model once, on few rows, and a fit starts once: XLA would take a hundred times as
long to compile that as to run it. Here the traced program is taken by NumPy instead, if it
consists of operations that are known here and is small; which way is taken follows from the
program alone. The random numbers are those of JAX.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, Var, get_opaque_trace_state
from jaxtyping import TypeCheckError

from ._host_ops import OPERATIONS
from ._threefry import packed, unpacked

#: Outside of any program.
TOP = get_opaque_trace_state()

#: The most numbers that all operations of a program may give.
MOST = 2**25
#: The most turns of one loop.
MOST_TURNS = 100
#: Those of a program that is run again now and then, in place of a compiled one.
MOST_SELDOM = 2**23

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

# What a user sets for programs that JAX runs.
_SETTINGS = ("jax_debug_nans", "jax_default_device", "jax_disable_jit")
# The two programs of a loop.
_OF_LOOP = ("cond_jaxpr", "body_jaxpr")


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


class seldom:  # noqa: N801
    """`fn`, run once or now and then: by NumPy, or compiled if it is not for NumPy.

    Which way is taken follows from the program alone, where JAX computes on the CPU.

    Args:
        fn: A function of pytrees of arrays, which can be traced.
        compiled: A function that gives the same, for a program that is not for NumPy.
        most: The most numbers that the operations may give.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        compiled: Callable[..., Any],
        most: int = MOST_SELDOM,
    ) -> None:
        self._traced = jax.jit(fn)
        self._most = most
        self.compiled = compiled
        functools.update_wrapper(self, fn)

    def program(self, *args: Any) -> ClosedJaxpr | None:
        """What NumPy will take, or None; a loop may turn out to be too long."""
        if not _are_here(jax.tree.leaves(args)):
            return None
        found = self._traced.trace(*args).jaxpr
        try:
            _check(found, self._most)
        except UnknownError:
            return None
        return found

    def __call__(self, *args: Any) -> Any:
        leaves = jax.tree.leaves(args)
        if not _are_here(leaves):
            return self.compiled(*args)
        found = self._traced.trace(*args)
        program = found.jaxpr
        try:
            flat = evaluated(program, leaves, self._most)
        except UnknownError:
            return self.compiled(*args)
        arrays = map(_to_jax, flat, program.out_avals)
        return jax.tree.unflatten(jax.tree.structure(found.out_info), arrays)


def _are_here(leaves: Sequence[Any]) -> bool:
    """Whether values are at hand, outside any program, and JAX computes where they are."""
    is_set = any(getattr(jax.config, name, None) for name in _SETTINGS)
    if is_set or jax.default_backend() != "cpu" or get_opaque_trace_state() != TOP:
        return False
    arrays = [x for x in leaves if isinstance(x, jax.Array)]
    is_far = lambda x: isinstance(x, jax.core.Tracer) or len(x.devices()) > 1
    return not any(map(is_far, arrays))


def _to_jax(value: np.ndarray, aval: Any) -> Any:
    if not _is_key(aval):
        return jax.device_put(np.array(value, aval.dtype, order="C"))
    words = jax.device_put(unpacked(value))
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def some_rows(x: Any, rows: np.ndarray) -> Any:
    """Some entries along the first axis; nothing is compiled where the array is at hand."""
    is_far = isinstance(x, jax.Array) and (
        _is_key(x)
        or not x.is_fully_addressable
        or any(device.platform != "cpu" for device in x.devices())
    )
    return x[rows] if is_far else np.asarray(x)[rows]


def evaluated(
    program: ClosedJaxpr, args: Sequence[Any], most: int | None = None
) -> list[np.ndarray]:
    """The outputs of a traced program, whose operations may give so many numbers.

    Raises:
        UnknownError: If it is not for NumPy.
    """
    _check(program, MOST if most is None else most)
    with np.errstate(all="ignore"):
        avals = [v.aval for v in program.jaxpr.invars]
        given = [_typed(_of_jax(x), of) for x, of in zip(args, avals, strict=True)]
        return _run(program.jaxpr, program.consts, given)


def _check(program: ClosedJaxpr, most: int) -> None:
    if not getattr(jax.config, "jax_threefry_partitionable", True):
        raise UnknownError("random numbers of another kind")
    if _size(program.jaxpr) > most:
        raise UnknownError("too large")


def _needed(jaxpr: Any) -> list[Any]:
    """The operations that lead to the outputs."""
    needed, found = {v for v in jaxpr.outvars if isinstance(v, Var)}, []
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            found.append(equation)
            needed.update(v for v in equation.invars if isinstance(v, Var))
    return found[::-1]


def _size(jaxpr: Any) -> int:
    """How many numbers all operations give, by one turn of loops. All must be known."""
    size = 0
    for equation in _needed(jaxpr):
        inner = _inner(equation)
        if inner is not None:
            size += _size(inner[0])
        elif equation.primitive.name == "while":
            size += sum(_size(equation.params[name].jaxpr) for name in _OF_LOOP)
        elif equation.primitive.name == "cond":
            size += max(_size(branch.jaxpr) for branch in equation.params["branches"])
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

    for equation in _needed(jaxpr):
        inputs, inner = [read(v) for v in equation.invars], _inner(equation)
        if inner is not None:
            outputs = _run(*inner, inputs)
        elif equation.primitive.name == "while":
            outputs = _looped(equation.params, inputs)
        elif equation.primitive.name == "cond":
            outputs = _branched(equation.params["branches"], inputs)
        else:
            found = _taken(equation, inputs)
            outputs = found if isinstance(found, list) else [found]
        for v, x in zip(equation.outvars, outputs, strict=True):
            known[v] = _typed(x, v.aval)
    return [read(v) for v in jaxpr.outvars]


def _looped(params: dict[str, Any], inputs: Sequence[Any]) -> list[np.ndarray]:
    first, second = params["cond_nconsts"], params["body_nconsts"]
    of_cond, of_body = inputs[:first], inputs[first : first + second]
    carry = list(inputs[first + second :])
    goes_on, body = (params[name] for name in _OF_LOOP)
    for _ in range(MOST_TURNS):
        (goes,) = _run(goes_on.jaxpr, goes_on.consts, [*of_cond, *carry])
        if not goes.any():
            return carry
        after = _run(body.jaxpr, body.consts, [*of_body, *carry])
        # Under `vmap` each turns by itself, and what has come to its end stays.
        lined = [goes.reshape(goes.shape + (1,) * (x.ndim - goes.ndim)) for x in carry]
        pairs = zip(lined, after, carry, strict=True)
        carry = [np.where(*pair) if goes.ndim else pair[1] for pair in pairs]
    raise UnknownError("a long loop")


def _branched(branches: Sequence[Any], inputs: Sequence[Any]) -> list[np.ndarray]:
    which, *rest = inputs
    chosen = branches[int(np.clip(which, 0, len(branches) - 1))]
    return _run(chosen.jaxpr, chosen.consts, rest)


def _taken(equation: Any, inputs: Sequence[Any]) -> Any:
    try:
        return OPERATIONS[equation.primitive.name](equation, *inputs)
    except TypeCheckError:  # of ours, while tests look at annotations
        raise
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
