"""Checks of arguments, with uniform error messages.

Each function checks one argument and raises an error with the argument's name, the given value
and the remedy. Otherwise it returns the value as a Python number, boolean or string, so that
settings can be hashed, compared and stored. Traced values cannot be checked and are returned
unchanged.
"""

import contextlib
import functools
import math
import sys
import types
import warnings
from collections.abc import Callable, Iterable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from . import _options

# The checks of `setting`: a function from the name and value of an argument to its value.
Check = Callable[[str, Any], Any]
Value = TypeVar("Value")


# Packages whose frames are between a user's call and a layer.
_BETWEEN = (
    __name__.partition(".")[0],
    "numpyro",
    "equinox",
    "jax",
    "jaxtyping",
    "contextlib",
)

_MOST = 2**31 - 1


def warn(text: str) -> None:
    """Warn with the location of the user's own line, at any depth of the call."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(frame):
        frame = frame.f_back
    where = frame.f_globals
    warnings.warn_explicit(
        text,
        UserWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=where.get("__name__"),
        registry=where.setdefault("__warningregistry__", {}),
    )


def _is_between(frame: types.FrameType) -> bool:
    name = frame.f_globals.get("__name__", "").partition(".")[0]
    return name in _BETWEEN or frame.f_code.co_filename.startswith("<@beartype")


def _plain(value: Any) -> Any:
    """A NumPy or JAX scalar as a Python number, boolean or string; other values unchanged."""
    if isinstance(value, (jax.core.Tracer, np.ma.MaskedArray)):
        return value
    is_single = isinstance(value, (np.generic, np.ndarray, jax.Array)) and not value.ndim
    # Not dates and durations, which would become integers.
    return (
        value.item() if is_single and (_is_real(value) or _kind(value) in "cU") else value
    )


def _kind(array: Any) -> str:
    """NumPy's letter for the kind of dtype; JAX random keys have none."""
    return getattr(array.dtype, "kind", "?")


def _is_real(array: Any) -> bool:
    # Short floating-point types such as bfloat16 have no kind in NumPy.
    return _kind(array) in "biuf" or jnp.issubdtype(array.dtype, jnp.floating)


def _is_number(value: Any) -> bool:
    return isinstance(value, (Real, Decimal)) and not isinstance(value, np.timedelta64)


def _given(value: Any) -> str:
    return f"got {value!r} ({type(value).__name__})"


def _number(name: str, value: Any) -> Any:
    """`value` as a float; unchanged if it is traced."""
    found = _plain(value)
    if isinstance(found, jax.core.Tracer):
        return found
    if isinstance(found, Real) and not isinstance(found, (bool, np.timedelta64)):
        return float(found)
    raise TypeError(f"`{name}` must be a number, {_given(value)}.")


def integer(name: str, value: Any, what: str = "an integer") -> int:
    """`value` is an integer; `what` describes the allowed range."""
    found = _plain(value)
    if isinstance(found, Integral) and not isinstance(found, (bool, np.timedelta64)):
        return int(found)
    raise TypeError(f"`{name}` must be {what}, {_given(value)}.")


def size(name: str, value: Any) -> int:
    """`value` counts something: an integer of at least one."""
    found = integer(name, value, "a positive integer")
    if found < 1:
        raise ValueError(f"`{name}` must be a positive integer, got {found}.")
    return _countable(name, found)


def count(name: str, value: Any) -> int:
    """`value` counts something that may be absent: an integer of at least zero."""
    found = integer(name, value, "a whole number")
    if found < 0:
        raise ValueError(f"`{name}` must be zero or positive, got {found}.")
    return _countable(name, found)


def _countable(name: str, found: int) -> int:
    """A number that an index of 32 bits can count to, which JAX's arrays have by default."""
    if found > _MOST:
        raise ValueError(f"`{name}` must be at most {_MOST:,}, got {found:,}.")
    return found


def positive(name: str, value: Any) -> Any:
    """`value` is finite and greater than zero."""
    number = _number(name, value)
    if isinstance(number, float) and not 0 < number < math.inf:
        raise ValueError(f"`{name}` must be positive and finite, got {value}.")
    return number


def non_negative(name: str, value: Any) -> Any:
    """`value` is finite and at least zero."""
    number = _number(name, value)
    if isinstance(number, float) and not 0 <= number < math.inf:
        raise ValueError(f"`{name}` must be zero or positive, got {value}.")
    return number


def finite(name: str, value: Any) -> Any:
    """`value` is neither infinite nor NaN."""
    number = _number(name, value)
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite, got {value}.")
    return number


def rate(name: str, value: Any) -> Any:
    """`value` is a probability below one."""
    number = _number(name, value)
    if isinstance(number, float) and not 0 <= number < 1:
        raise ValueError(f"`{name}` must be at least 0 and below 1, got {value}.")
    return number


def share(name: str, value: Any) -> Any:
    """`value` is between zero and one, and neither."""
    number = _number(name, value)
    if isinstance(number, float) and not 0 < number < 1:
        raise ValueError(f"`{name}` must be above 0 and below 1, got {value}.")
    return number


def fraction(name: str, value: Any) -> Any:
    """`value` is a number from zero to one."""
    number = _number(name, value)
    if isinstance(number, float) and not 0 <= number <= 1:
        raise ValueError(f"`{name}` must be a number from 0 to 1, got {value}.")
    return number


def switch(name: str, value: Any) -> bool:
    """`value` is True or False, and not a string or number that Python treats as a boolean."""
    found = _plain(value)
    if not isinstance(found, bool):
        raise TypeError(f"`{name}` must be True or False, {_given(value)}.")
    return found


def label(name: str, value: Any) -> str:
    """`value` is a non-empty string."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"`{name}` must be a non-empty string, {_given(value)}.")
    return str(value)


def one_of(name: str, value: Any, options: Iterable[Any]) -> Any:
    """`value` is one of `options`; the closest one is suggested."""
    options, found = list(options), _plain(value)
    # NumPy warns when its times are compared with numbers.
    if isinstance(found, (np.ndarray, jax.Array, np.datetime64, np.timedelta64)):
        raise _options.refusal(name, value, options)
    return _options.one_of(name, found, options)


def choice(*options: Any) -> Check:
    """The check that a value is one of `options`."""
    return functools.partial(one_of, options=options)


def optional(check: Check) -> Check:
    """The same check of a value that may be None."""
    return lambda name, value: None if value is None else check(name, value)


# The check of a site's prefix.
optional_label = optional(label)


def sequence(check: Check) -> Check:
    """The same check of each entry of a sequence, which becomes a tuple."""

    def checked(name: str, values: Any) -> tuple[Any, ...]:
        is_number = isinstance(values, (np.ndarray, jax.Array)) and not values.ndim
        if is_number or isinstance(values, str) or not isinstance(values, Iterable):
            raise TypeError(f"`{name}` must be a sequence, {_given(values)}.")
        if isinstance(values, np.ma.MaskedArray):
            values = reals(name, values)
        return tuple(check(name, value) for value in values)

    return checked


def each(check: Check) -> Check:
    """The same check of a single value or of each entry of a sequence, which becomes a tuple."""

    def checked(name: str, values: Any) -> Any:
        is_array = isinstance(values, (np.ndarray, jax.Array)) and values.ndim > 0
        is_several = is_array or isinstance(values, (list, tuple))
        return (sequence(check) if is_several else check)(name, values)

    return checked


def random_key(name: str, seed: Any) -> Any:
    """The random key for `seed`, an integer or a key."""
    if isinstance(seed, Integral) and not isinstance(seed, (bool, np.timedelta64)):
        return jax.random.key(int(seed))
    if isinstance(seed, (jax.Array, np.ndarray)):
        if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) and seed.shape == ():
            return seed
        if seed.dtype == np.uint32 and seed.shape == (2,):
            return seed
        if jnp.issubdtype(seed.dtype, jnp.integer) and seed.shape == ():
            return jax.random.key(seed)
        given = f"an array of shape {seed.shape} and type {seed.dtype}"
    else:
        given = f"{seed!r} ({type(seed).__name__})"
    raise TypeError(f"`{name}` must be an integer or one random key, got {given}.")


def instance(name: str, value: Value, kind: type | tuple[type, ...], what: str) -> Value:
    """`value` is an instance of `kind`, which `what` describes."""
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` must be {what}, {_given(value)}.")
    return value


def function(name: str, value: Value) -> Value:
    """`value` is callable."""
    if not callable(value):
        raise TypeError(f"`{name}` must be callable, {_given(value)}.")
    return value


def reals(name: str, values: Any) -> Any:
    """`values` as an array of real numbers, in native byte order.

    Masked entries, dates, strings and complex numbers are errors.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"`{name}` has {int(np.ma.count_masked(values))} masked entries, which have no "
            "value. Leave them out, or fill them in (`.filled`)."
        )
    try:
        found = values if isinstance(values, jax.Array) else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{name}` must have rows of equal length: {error}.") from error
    if _kind(found) == "O" and found.size and all(map(_is_number, found.flat)):
        with contextlib.suppress(OverflowError):
            found = found.astype(float)
    if not _is_real(found):
        raise TypeError(
            f"`{name}` must hold real numbers, got entries of type {found.dtype}. Convert "
            "dates, strings and categories to numbers first."
        )
    if not found.dtype.isnative:
        found = found.astype(found.dtype.newbyteorder("="))
    return found


def observed(name: str, values: Any) -> Any:
    """As `reals`, for observations, which may be a column of a table but no categories.

    The codes of categories depend on what other categories there are.
    """
    if str(getattr(values, "dtype", None)) == "category":
        raise TypeError(
            f"`{name}` must hold real numbers, got categories. Pass their numbers, "
            f"`{name}.astype(float)`, or for classes their codes, `{name}.cat.codes`."
        )
    return reals(name, values)


def same_labels(**data: Any) -> None:
    """Columns of tables have the row labels of the first."""
    first, *others = data
    for name in others:
        labels: list[Any] = [getattr(data[n], "index", None) for n in (first, name)]
        if all(hasattr(x, "equals") for x in labels) and not labels[0].equals(labels[1]):
            raise ValueError(
                f"`{first}` and `{name}` must have the same row labels (`index`) in the same "
                "order, row for row. Align them first, as by `reindex_like`."
            )


def array(name: str, values: Any) -> Any:
    """`values` as a JAX array of real numbers or booleans."""
    is_single = isinstance(values, (bool, int, float))
    return jnp.asarray(values if is_single else reals(name, values))


def numbers(name: str, values: Any) -> Any:
    """`values` as an array of real numbers; booleans are an error."""
    found = reals(name, values)
    if found.dtype == bool:
        raise TypeError(f"`{name}` must hold numbers, got booleans.")
    return found


def all_positive(name: str, values: Any) -> None:
    """Every entry of `values` is finite and greater than zero."""
    found = numbers(name, values)
    if isinstance(found, jax.core.Tracer):
        return
    found = np.asarray(found)
    if not np.all((found > 0) & np.isfinite(found)):
        raise ValueError(f"`{name}` must be positive and finite, got {values}.")


def last_axis(name: str, x: Any, size_name: str, expected: int) -> None:
    """The last axis of `x` has the size that the layer expects."""
    shape = np.shape(x)
    if not shape or shape[-1] != expected:
        raise ValueError(
            f"`{name}` must have {expected} entries in its last axis "
            f"(`{size_name}`={expected}), got shape {shape}. Transpose it, add an axis, or "
            f"create the layer with another `{size_name}`."
        )


def same_length(**arrays: Any) -> int:
    """All arrays have as many rows as the first; the number of rows is returned."""
    for name, array in arrays.items():
        if not np.ndim(array):
            raise ValueError(f"`{name}` must have a row axis, got a single number.")
    lengths = {name: np.shape(array)[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"`{name}` has {n}" for name, n in lengths.items())
        raise ValueError(f"The data must have the same number of rows, but {found} rows.")
    return next(iter(lengths.values()))


def same_shape(**arrays: Any) -> None:
    """All arrays have the shape of the first."""
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"`{name}` has {shape}" for name, shape in shapes.items())
        raise ValueError(f"The arrays must have the same shape, but {found}.")


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
