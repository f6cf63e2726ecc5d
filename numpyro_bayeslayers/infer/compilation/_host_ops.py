"""The JAX operations supported by NumPy evaluation, by name.

Each is a function of the traced operation, whose parameters it reads, and of NumPy arrays. A
random key is one 64-bit number, so that arrays of keys have the same shapes as in JAX.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from ._threefry import counted, joined, packed, threefry, unpacked

Operation = Callable[..., Any]

OPERATIONS: dict[str, Operation] = {}


def _each(name: str, fn: Callable[..., Any]) -> None:
    """Add an operation without relevant parameters."""
    OPERATIONS[name] = lambda equation, *xs: fn(*xs)


def _op(fn: Any) -> Operation:
    OPERATIONS[fn.__name__.strip("_")] = fn
    return fn


_UNARY: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "abs": np.abs,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "cbrt": np.cbrt,
    "square": np.square,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "logistic": scipy.special.expit,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erf_inv": scipy.special.erfinv,
    "lgamma": scipy.special.gammaln,
    "digamma": scipy.special.digamma,
    "is_finite": np.isfinite,
    "not": np.invert,
    "stop_gradient": np.asarray,
    "copy": np.asarray,
    "copy_p": np.asarray,
}
_BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "pow": np.power,
    "atan2": np.arctan2,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "nextafter": np.nextafter,
}
for _name, _fn in (_UNARY | _BINARY).items():
    _each(_name, _fn)


def _shifted(shift: Callable[..., Any]) -> Callable[..., Any]:
    """A bit shift; shifts by the width or more give zero."""

    def fn(x: Any, by: Any) -> Any:
        bits = x.view(np.dtype(f"u{x.dtype.itemsize}"))
        by = by.astype(bits.dtype)
        width = 8 * bits.itemsize
        return np.where(by < width, shift(bits, by % width), 0).astype(x.dtype)

    return fn


_each("shift_left", _shifted(np.left_shift))
_each("shift_right_logical", _shifted(np.right_shift))


@_op
def _div(equation: Any, x: Any, y: Any) -> Any:
    if np.issubdtype(x.dtype, np.inexact):
        return x / y
    y = np.where(y == 0, 1, y)
    return np.trunc(x / y).astype(x.dtype) if np.abs(x).max(initial=0) < 2**52 else x // y


@_op
def _rem(equation: Any, x: Any, y: Any) -> Any:
    return np.fmod(x, y)


@_op
def _integer_pow(equation: Any, x: Any) -> Any:
    return np.power(x, np.asarray(equation.params["y"], x.dtype))


@_op
def _round(equation: Any, x: Any) -> Any:
    to_even = int(equation.params["rounding_method"]) == 1
    return np.round(x) if to_even else np.trunc(x + np.copysign(0.5, x))


@_op
def _clamp(equation: Any, low: Any, x: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


@_op
def _select_n(equation: Any, which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return np.where(which, cases[1], cases[0])
    return np.choose(which, cases)


@_op
def _convert_element_type(equation: Any, x: Any) -> Any:
    return x.astype(equation.params["new_dtype"])


@_op
def _bitcast_convert_type(equation: Any, x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(x.shape).view(equation.params["new_dtype"])


@_op
def _broadcast_in_dim(equation: Any, x: Any) -> Any:
    shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    inside = [1] * len(shape)
    for place, length in zip(places, x.shape, strict=True):
        inside[place] = length
    return np.broadcast_to(x.reshape(inside), shape)


@_op
def _reshape(equation: Any, x: Any) -> Any:
    return x.reshape(equation.params["new_sizes"])


@_op
def _squeeze(equation: Any, x: Any) -> Any:
    return np.squeeze(x, tuple(equation.params["dimensions"]))


@_op
def _expand_dims(equation: Any, x: Any) -> Any:
    return np.expand_dims(x, tuple(equation.params["dimensions"]))


@_op
def _transpose(equation: Any, x: Any) -> Any:
    return np.transpose(x, equation.params["permutation"])


@_op
def _rev(equation: Any, x: Any) -> Any:
    return np.flip(x, tuple(equation.params["dimensions"]))


@_op
def _concatenate(equation: Any, *xs: Any) -> Any:
    return np.concatenate(xs, equation.params["dimension"])


@_op
def _stack(equation: Any, *xs: Any) -> Any:
    return np.stack(xs, equation.params["axis"])


@_op
def _unstack(equation: Any, x: Any) -> list[Any]:
    return list(np.moveaxis(x, equation.params["axis"], 0))


@_op
def _split(equation: Any, x: Any) -> list[Any]:
    ends = np.cumsum(equation.params["sizes"])[:-1]
    return np.split(x, ends, equation.params["axis"])


@_op
def _slice(equation: Any, x: Any) -> Any:
    names = "start_indices", "limit_indices", "strides"
    starts, ends, steps = (equation.params[name] for name in names)
    return x[tuple(map(slice, starts, ends, steps or [1] * x.ndim))]


@_op
def _dynamic_slice(equation: Any, x: Any, *starts: Any) -> Any:
    sizes = equation.params["slice_sizes"]
    if len(starts) != len(sizes):  # sizes known only at run time
        raise NotImplementedError
    first = [
        int(np.clip(s, 0, n - k)) for s, n, k in zip(starts, x.shape, sizes, strict=True)
    ]
    return x[tuple(slice(a, a + k) for a, k in zip(first, sizes, strict=True))]


@_op
def _iota(equation: Any) -> Any:
    shape, along = equation.params["shape"], equation.params["dimension"]
    inside = [-1 if axis == along else 1 for axis in range(len(shape))]
    numbers = np.arange(shape[along]).reshape(inside)
    return np.broadcast_to(numbers, shape).astype(equation.params["dtype"])


@_op
def _empty(equation: Any) -> Any:
    return np.zeros(equation.outvars[0].aval.shape, equation.outvars[0].aval.dtype)


@_op
def _dot_general(equation: Any, x: Any, y: Any) -> Any:
    (cx, cy), (bx, by) = equation.params["dimension_numbers"]
    free = lambda a, used: [axis for axis in range(a.ndim) if axis not in used]
    fx, fy = free(x, (*cx, *bx)), free(y, (*cy, *by))
    size = lambda a, axes: [a.shape[axis] for axis in axes]
    length = int(np.prod(size(x, cx)))
    kind = equation.outvars[0].aval.dtype
    one = x.transpose([*bx, *fx, *cx]).reshape(*size(x, bx), -1, length).astype(kind)
    other = y.transpose([*by, *cy, *fy]).reshape(*size(y, by), length, -1).astype(kind)
    return (one @ other).reshape(*size(x, bx), *size(x, fx), *size(y, fy))


def _reduced(name: str, fn: Callable[..., Any]) -> None:
    # In a program under `vmap` these are NumPy integers.
    OPERATIONS[name] = lambda equation, x: fn(
        x, axis=tuple(map(int, equation.params["axes"]))
    )


def _summed(x: Any, axis: tuple[int, ...]) -> Any:
    """A sum, in double precision for floating-point numbers, since NumPy adds sequentially."""
    is_real = np.issubdtype(x.dtype, np.floating)
    return np.sum(x, axis=axis, dtype=np.float64 if is_real else None)


for _name, _fn in (
    ("reduce_sum", _summed),
    ("reduce_prod", np.prod),
    ("reduce_max", np.max),
    ("reduce_min", np.min),
    ("reduce_and", np.all),
    ("reduce_or", np.any),
):
    _reduced(_name, _fn)


@_op
def _sort(equation: Any, *xs: Any) -> Any:
    axis = equation.params["dimension"]
    if equation.params["num_keys"] != 1:
        raise NotImplementedError
    if len(xs) == 1:
        return np.sort(xs[0], axis)
    order = np.argsort(xs[0], axis, kind="stable")
    return [np.take_along_axis(x, order, axis) for x in xs]


def _along(name: str, fn: Callable[..., Any]) -> None:
    def run(equation: Any, x: Any) -> Any:
        axis = equation.params["axis"]
        if equation.params["reverse"]:
            return np.flip(fn(np.flip(x, axis), axis=axis), axis)
        return fn(x, axis=axis)

    OPERATIONS[name] = run


for _name, _fn in (
    ("cumsum", np.cumsum),
    ("cumprod", np.cumprod),
    ("cummax", np.maximum.accumulate),
    ("cummin", np.minimum.accumulate),
):
    _along(_name, _fn)


@_op
def _gather(equation: Any, x: Any, indices: Any) -> Any:
    """Slices of `x` at positions given by the last axis of `indices`."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    batch = indices.shape[:-1]
    space = len(batch)
    starts = np.zeros((*batch, x.ndim), np.int64)
    for k, axis in enumerate(numbers.start_index_map):
        starts[..., axis] = indices[..., k]
    for axis, of in zip(
        numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True
    ):
        starts[..., axis] = np.arange(batch[of]).reshape(
            [-1 if i == of else 1 for i in range(space)]
        )
    most = np.array(x.shape) - np.array(sizes)
    is_inside = ((starts >= 0) & (starts <= most)).all(-1)
    starts = np.clip(starts, 0, most)
    kept = [
        axis
        for axis in range(x.ndim)
        if axis not in (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    ]
    at = []
    for axis in range(x.ndim):
        first = starts[..., axis].reshape(*batch, *[1] * len(kept))
        if axis in kept:
            inside = [1] * (space + len(kept))
            inside[space + kept.index(axis)] = sizes[axis]
            first = first + np.arange(sizes[axis]).reshape(inside)
        at.append(first)
    found = x[tuple(at)]
    if not is_inside.all() and "FILL" in str(equation.params["mode"]).upper():
        fill = equation.params["fill_value"]
        if fill is None:
            if not np.issubdtype(x.dtype, np.inexact):
                raise NotImplementedError
            fill = np.nan
        found = np.where(is_inside.reshape(*batch, *[1] * len(kept)), found, fill)
    return np.moveaxis(found, range(space, found.ndim), numbers.offset_dims)


_each("random_wrap", packed)
_each("random_unwrap", unpacked)


@_op
def _random_split(equation: Any, keys: Any) -> Any:
    return joined(*counted(keys, equation.params["shape"]))


@_op
def _random_bits(equation: Any, keys: Any) -> Any:
    high, low = counted(keys, equation.params["shape"])
    width = equation.params["bit_width"]
    if width == 64:
        return joined(high, low)
    return (high ^ low).astype(np.dtype(f"u{width // 8}"))


@_op
def _random_fold_in(equation: Any, keys: Any, number: Any) -> Any:
    number = number.astype(np.uint32)
    return joined(*threefry(keys, np.zeros_like(number), number))


@_op
def _random_seed(equation: Any, number: Any) -> Any:
    if number.dtype.itemsize > 4:
        raise NotImplementedError
    return number.astype(np.uint32).astype(np.uint64)
