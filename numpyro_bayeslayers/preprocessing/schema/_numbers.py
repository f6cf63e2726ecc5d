"""Numbers that keep their value in the arrays that JAX makes of them."""

from typing import Any

import jax
import numpy as np

from ... import _checks

_COARSE = (
    "`{label}` runs from {low:.10g} to {high:.10g}, where {kind} has steps of {step:g}: entries "
    "that differ by less become equal. Subtract its start, or call `numpyro.enable_x64()` "
    "first."
)
_RANGE = (
    "`{label}` holds {value:.10g}, and {kind} ends at {end:.3g}. Take a {unit} unit, or call "
    "`numpyro.enable_x64()` first."
)
# The steps of an array's type within the range of a column, below which there is a word.
_STEPS = 1000


def kind_of(values: Any) -> str:
    """``"bool"``, ``"int"``, ``"float"``, ``"complex"``, or ``"key"`` of random keys."""
    kinds = {"int": np.integer, "float": np.floating, "complex": np.complexfloating}
    if values.dtype == bool:
        return "bool"
    found = (k for k, kind in kinds.items() if jax.numpy.issubdtype(values.dtype, kind))
    return next(found, "key")


def fitting(values: Any) -> Any:
    """`values`; in floating point if they are integers that JAX's type does not hold."""
    if isinstance(values, jax.Array) or kind_of(values) != "int" or not values.size:
        return values
    limits = np.iinfo(jax.dtypes.canonicalize_dtype(values.dtype))
    fits = limits.min <= values.min() and values.max() <= limits.max
    return values if fits else values.astype(float)


def check_floats(label: str, values: Any, *, is_first: bool) -> None:
    """Floating-point numbers are finite, and remain what they are in JAX's type.

    Args:
        label: What they are.
        values: An array of any shape.
        is_first: Whether the range of the column is to be looked at, too.

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
