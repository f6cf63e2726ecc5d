"""Check that numbers keep their values in JAX arrays."""

from typing import Any

import jax
import numpy as np

from ... import _checks

_COARSE = (
    "`{label}` ranges from {low:.10g} to {high:.10g}, where {kind} has a resolution of "
    "{step:g}: entries that differ by less become equal. Subtract the minimum, or call "
    "`numpyro.enable_x64()` first."
)
_RANGE = (
    "`{label}` holds {value:.10g}, and the limit of {kind} is {end:.3g}. Use a {unit} unit, or "
    "call `numpyro.enable_x64()` first."
)
# The smallest number of representable steps within a column's range that gives no warning.
_STEPS = 1000


def kind_of(values: Any) -> str:
    """``"bool"``, ``"int"``, ``"float"``, ``"complex"``, or ``"key"`` for random keys."""
    kinds = {"int": np.integer, "float": np.floating, "complex": np.complexfloating}
    if values.dtype == bool:
        return "bool"
    found = (k for k, kind in kinds.items() if jax.numpy.issubdtype(values.dtype, kind))
    return next(found, "key")


def fitting(values: Any) -> Any:
    """`values`; integers that overflow JAX's integer type become floating point."""
    if isinstance(values, jax.Array) or kind_of(values) != "int" or not values.size:
        return values
    limits = np.iinfo(jax.dtypes.canonicalize_dtype(values.dtype))
    fits = limits.min <= values.min() and values.max() <= limits.max
    return values if fits else values.astype(float)


def check_floats(label: str, values: Any, *, is_first: bool) -> None:
    """Check that floating-point numbers are finite and keep their values in JAX's type.

    Args:
        label: Their name in errors.
        values: An array of any shape.
        is_first: Whether to check the resolution over the range of the column, too.

    Raises:
        ValueError: If one is NaN or infinite, or out of the type's range.
    """
    _checks.no_nan(label, values)
    if isinstance(values, jax.Array) or kind_of(values) != "float" or not values.size:
        return
    kind = jax.dtypes.canonicalize_dtype(values.dtype)
    if kind == values.dtype:
        return
    low, high = values.min(0), values.max(0)
    size, limits = np.maximum(np.abs(low), np.abs(high)), np.finfo(kind)
    word = {"label": label, "kind": f"JAX's {kind.name}"}
    if (size > limits.max).any():
        text = _RANGE.format(value=size.max(), end=limits.max, unit="larger", **word)
        raise ValueError(text)
    small = (size > 0) & (size < limits.tiny)
    if small.any():
        value = size[small].max() if small.ndim else size
        raise ValueError(
            _RANGE.format(value=value, end=limits.tiny, unit="smaller", **word)
        )
    step = np.spacing(size.astype(kind)).astype(float)
    coarse = (high > low) & (_STEPS * step > high - low)
    if is_first and coarse.any():
        at = np.unravel_index(coarse.argmax(), coarse.shape) if coarse.ndim else ()
        text = _COARSE.format(low=low[at], high=high[at], step=step[at], **word)
        _checks.warn(text)
