"""Evaluate small programs with NumPy on the host, without compiling.

Checks run a model once on few rows, and a fit is initialized once: compiling these programs
with XLA takes a hundred times as long as running them. Here NumPy evaluates the traced program
instead, if it is small and all its operations are supported; the choice depends only on the
program. Random numbers equal those of JAX.
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

#: The largest total number of values computed by the operations of a program.
MOST = 2**25
#: The largest number of iterations of one loop.
MOST_TURNS = 100
#: The limit for a program that runs repeatedly but rarely.
MOST_SELDOM = 2**23

# Operations that call a program, and the name of the parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
}

# JAX options that users set for running programs.
_SETTINGS = ("jax_debug_nans", "jax_default_device", "jax_disable_jit")
# The names of the two programs of a loop.
_OF_LOOP = ("cond_jaxpr", "body_jaxpr")


class UnknownError(Exception):
    """A program has an unsupported operation, or is too large."""


def on_host(
    fn: Callable[..., Any], *args: Any, otherwise: Callable[..., Any] | None = None
) -> Any:
    """``fn(*args)`` as NumPy arrays; compiled if NumPy cannot evaluate it.

    Args:
        fn: A traceable function of pytrees of arrays.
        args: Its arguments.
        otherwise: An equivalent function for programs that NumPy cannot evaluate; `fn` if None.
    """
    program, shapes = jax.make_jaxpr(fn, return_shape=True)(*args)
    try:
        flat = evaluated(program, jax.tree.leaves(args))
    except UnknownError:
        return jax.device_get((otherwise or fn)(*args))
    return jax.tree.unflatten(jax.tree.structure(shapes), flat)


class seldom:  # noqa: N801
    """`fn` for rare calls: evaluated by NumPy, or compiled if NumPy cannot evaluate it.

    If JAX computes on the CPU, the choice depends only on the program.

    Args:
        fn: A traceable function of pytrees of arrays.
        compiled: An equivalent function for programs that NumPy cannot evaluate.
        most: The largest total number of values computed by the operations.
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
        """The program for NumPy, or None; a loop may later turn out to be too long."""
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
    """Whether values are concrete and JAX computes on their device."""
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
    """Some entries along the first axis, without compiling if the array is concrete."""
    is_far = isinstance(x, jax.Array) and (
        _is_key(x)
        or not x.is_fully_addressable
        or any(device.platform != "cpu" for device in x.devices())
    )
    return x[rows] if is_far else np.asarray(x)[rows]


def evaluated(
    program: ClosedJaxpr, args: Sequence[Any], most: int | None = None
) -> list[np.ndarray]:
    """Evaluate a traced program with NumPy, up to a total number of computed values.

    Raises:
        UnknownError: If NumPy cannot evaluate it.
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
    """The operations on which the outputs depend."""
    needed, found = {v for v in jaxpr.outvars if isinstance(v, Var)}, []
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            found.append(equation)
            needed.update(v for v in equation.invars if isinstance(v, Var))
    return found[::-1]


def _size(jaxpr: Any) -> int:
    """The number of values that all operations compute, with one iteration per loop."""
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
    """The program that an operation calls, and its constants."""
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
        # Under `vmap` each element loops by itself, and finished ones stay unchanged.
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
    except TypeCheckError:  # from our run-time type checks in tests
        raise
    except (NotImplementedError, ValueError, IndexError, TypeError) as error:
        raise UnknownError(equation.primitive.name) from error


def _typed(value: Any, aval: Any) -> np.ndarray:
    """An array, checked to have the dtype and shape stated by the program."""
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
