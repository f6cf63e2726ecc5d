"""One wording for each kind of error.

Each function looks at one argument, raises with the argument's name, what was given and
what to do, and otherwise returns nothing. Values that only exist inside a trace cannot be
looked at; they pass.
"""

import math
from numbers import Integral, Real
from typing import Any

import jax
import numpy as np

from ._options import one_of as one_of


def _number(name: str, value: Any) -> float | None:
    """The number in `value`, or None if it is not known before the program runs."""
    if isinstance(value, jax.core.Tracer):
        return None
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (jax.Array, np.ndarray)) and np.ndim(value) == 0:
        return float(value)
    kind = type(value).__name__
    raise TypeError(f"`{name}` must be a number, got {value!r} ({kind}).")


def size(name: str, value: Any) -> None:
    """`value` counts something: an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, (Integral, np.integer)):
        kind = type(value).__name__
        raise TypeError(f"`{name}` must be a positive integer, got {value!r} ({kind}).")
    if value < 1:
        raise ValueError(f"`{name}` must be a positive integer, got {value}.")


def count(name: str, value: Any) -> None:
    """`value` counts something that may be absent: an integer of at least zero."""
    if isinstance(value, bool) or not isinstance(value, (Integral, np.integer)):
        kind = type(value).__name__
        raise TypeError(f"`{name}` must be a whole number, got {value!r} ({kind}).")
    if value < 0:
        raise ValueError(f"`{name}` must be zero or positive, got {value}.")


def positive(name: str, value: Any) -> None:
    """`value` is finite and greater than zero."""
    number = _number(name, value)
    if number is not None and not (number > 0 and math.isfinite(number)):
        raise ValueError(f"`{name}` must be positive and finite, got {value}.")


def all_positive(name: str, values: Any) -> None:
    """Every entry of `values` is finite and greater than zero."""
    if isinstance(values, jax.core.Tracer):
        return
    found = np.asarray(values)
    if not np.all((found > 0) & np.isfinite(found)):
        raise ValueError(f"`{name}` must be positive and finite, got {values}.")


def non_negative(name: str, value: Any) -> None:
    """`value` is finite and at least zero."""
    number = _number(name, value)
    if number is not None and not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"`{name}` must be zero or positive, got {value}.")


def finite(name: str, value: Any) -> None:
    """`value` is neither infinite nor NaN."""
    number = _number(name, value)
    if number is not None and not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite, got {value}.")


def rate(name: str, value: Any) -> None:
    """`value` is a probability below one."""
    number = _number(name, value)
    if number is not None and not 0 <= number < 1:
        raise ValueError(f"`{name}` must be at least 0 and below 1, got {value}.")


def instance(name: str, value: Any, kind: type | tuple[type, ...], what: str) -> None:
    """`value` is of the `kind` that `what` says in words."""
    if not isinstance(value, kind):
        given = type(value).__name__
        raise TypeError(f"`{name}` must be {what}, got {value!r} ({given}).")


def function(name: str, value: Any) -> None:
    """`value` can be called."""
    if not callable(value):
        given = type(value).__name__
        raise TypeError(f"`{name}` must be callable, got {value!r} ({given}).")


def last_axis(name: str, x: Any, size_name: str, expected: int) -> None:
    """The last axis of `x` has as many entries as the layer was made for."""
    shape = np.shape(x)
    if not shape or shape[-1] != expected:
        raise ValueError(
            f"`{name}` must have {expected} entries in its last axis (`{size_name}`="
            f"{expected}), got shape {shape}. Transpose it, add an axis, or make the "
            f"layer with another `{size_name}`."
        )


def same_length(**arrays: Any) -> int:
    """All arrays have as many rows as the first; the number of rows is returned."""
    for name, array in arrays.items():
        if not np.ndim(array):
            raise ValueError(f"`{name}` must have a row axis, got a single number.")
    lengths = {name: np.shape(array)[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"`{name}` has {n}" for name, n in lengths.items())
        raise ValueError(f"The data must have one row count, but {found} rows.")
    return next(iter(lengths.values()))


def same_shape(**arrays: Any) -> None:
    """All arrays have the shape of the first."""
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"`{name}` has {shape}" for name, shape in shapes.items())
        raise ValueError(f"The arrays must have one shape, but {found}.")


def no_nan(name: str, data: Any) -> None:
    """No entry of `data` is NaN or infinite; the first bad column is named."""
    if isinstance(data, jax.core.Tracer):
        return
    values = np.asarray(data)
    if not np.issubdtype(values.dtype, np.inexact) or np.isfinite(values).all():
        return
    bad = ~np.isfinite(values)
    where = f"row {int(np.argwhere(bad)[0][0])}"
    if values.ndim > 1:
        columns = np.unique(np.argwhere(bad)[:, -1])
        where = f"column {', '.join(str(int(c)) for c in columns)}, first in {where}"
    raise ValueError(
        f"`{name}` has {int(bad.sum())} entries that are NaN or infinite ({where}). "
        "Drop or impute them first."
    )
