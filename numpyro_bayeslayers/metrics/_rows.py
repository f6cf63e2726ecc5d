"""Conversion and checks of the arguments of scores."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks

# A sequence of probabilities.
Levels: TypeAlias = Sequence[float] | Num[ArrayLike, " q"]


class Score(NamedTuple):
    """The mean of a score over rows, with its standard error.

    ``float(score)`` is the mean.

    Args:
        mean: The mean over rows.
        standard_error: The standard deviation of the rows over the square root of their
            number; NaN for a single row. It assumes independent rows.

    Example:
        >>> import jax.numpy as jnp
        >>> print(Score(jnp.array(1.5), jnp.array(0.25)))
        1.5 ± 0.25
    """

    mean: Float[Array, ""]
    standard_error: Float[Array, ""]

    def __float__(self) -> float:
        return float(self.mean)

    def __str__(self) -> str:
        return f"{float(self.mean):.4g} ± {float(self.standard_error):.2g}"


def scored(each: Array, average: bool) -> Score | Array:
    """The scores of rows, or their mean with its standard error."""
    if not _checks.switch("average", average):
        return each
    return Score(jnp.mean(each), jnp.std(each, ddof=1) / np.sqrt(each.size))


def as_rows(**data: Any) -> list[Array]:
    """The arguments as arrays of one shape, in floating point.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes differ, there is no entry, one is masked or NaN, or columns
            of tables have different row labels.
    """
    arrays = {name: _checks.observed(name, values) for name, values in data.items()}
    _checks.same_shape(**arrays)
    first = next(iter(data))
    check_some(first, arrays[first])
    _checks.same_labels(**data)
    for name, array in arrays.items():
        check_known(name, array)
    return [jnp.asarray(array, float) for array in arrays.values()]


def check_some(name: str, array: Any) -> None:
    """Check that there is an entry."""
    if not np.size(array):
        raise ValueError(f"`{name}` must have at least one entry, got none.")


def check_known(name: str, array: Any) -> None:
    """Check that no entry is NaN; bounds of intervals may be infinite."""
    if isinstance(array, jax.core.Tracer) or not jnp.issubdtype(array.dtype, jnp.inexact):
        return
    is_nan = np.isnan(np.asarray(array, float))
    if is_nan.any():
        raise ValueError(
            f"`{name}` has {int(is_nan.sum())} entries that are NaN (the first at "
            f"{tuple(np.argwhere(is_nan)[0].tolist())}). Drop or impute them first."
        )


def finite_reals(name: str, values: Any) -> Any:
    """`values` as an array of at least one real number, all finite."""
    found = _checks.observed(name, values)
    check_some(name, found)
    _checks.no_nan(name, found)
    return found


def stacked(y: Any, least: int = 1, **stack: Any) -> tuple[Array, Array]:
    """`y`, and the errors of a stack of predictions of it, in floating point.

    The difference is computed in the precision of the arguments, so that a large common offset
    (seconds since 1970, pressures in Pascal) does not lose digits.

    Args:
        y: Observations, of any shape.
        least: The smallest allowed number of predictions.
        stack: One argument: predictions, (s, *shape of `y`).

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes do not match, there are too few, or an entry is NaN.
    """
    ((name, values),) = stack.items()
    y, array = finite_reals("y", y), finite_reals(name, values)
    shape = np.shape(y)
    if np.ndim(array) != len(shape) + 1 or np.shape(array)[1:] != shape:
        raise ValueError(
            f"`{name}` must have one axis before those of `y`, shape (s, *{shape}), got "
            f"{np.shape(array)}. Move the axis of draws to the front; put those of chains "
            "and members into it."
        )
    if len(array) < least:
        raise ValueError(f"`{name}` must have at least {least} draws, got {len(array)}.")
    return jnp.asarray(y, float), less(array, y)


def less(array: Any, y: Any) -> Array:
    """`array - y`, in double precision before truncation if neither is a JAX array."""
    if isinstance(array, jax.Array) or isinstance(y, jax.Array):
        if all(jnp.issubdtype(a.dtype, jnp.signedinteger) for a in (array, y)):
            return jnp.asarray(jnp.asarray(array) - jnp.asarray(y), float)
        return jnp.asarray(array, float) - jnp.asarray(y, float)
    return jnp.asarray(np.asarray(array, np.float64) - np.asarray(y, np.float64), float)


def check_levels(name: str, levels: Any) -> np.ndarray:
    """Check for ascending probabilities above 0 and below 1, along one axis."""
    found = np.asarray(_checks.numbers(name, levels), float)
    is_fine = found.ndim == 1 and found.size and np.all((found > 0) & (found < 1))
    if not is_fine or np.any(np.diff(found) <= 0):
        raise ValueError(
            f"`{name}` must be probabilities above 0 and below 1, from small to large, got "
            f"{levels!r}."
        )
    return found
