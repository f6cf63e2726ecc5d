"""Read one column as an array: numbers, or codes of categories."""

import datetime
import sys
from collections.abc import Iterable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

Level: TypeAlias = str | bool | int | float

_DATES = (
    "`{label}` holds dates ({kind}), not numbers. Convert it to a number of time units, for "
    "example `(x - x.min()) / numpy.timedelta64(1, 'D')`, or use "
    "`preprocessing.encode_time_column`."
)
_NOTHING = (
    "`{label}` must hold numbers or strings, got {kind}. Extract a number or a string from "
    "each entry."
)


class Column(NamedTuple):
    """The values of a column.

    Args:
        values: Numbers, NaN where missing; or codes of `levels`, -1 where missing.
        levels: The categories in order; None for numbers.
        is_declared: Whether the column has a categorical type, rather than entries that look
            like categories.
    """

    values: Any
    levels: tuple[Level, ...] | None = None
    is_declared: bool = False

    def take(self, positions: Any) -> "Column":
        """The entries at these positions."""
        return self._replace(values=self.values[positions])


def read_column(label: str, value: Any) -> Column:
    """Read the numbers or categories in an array, a list, or a column of a table.

    Raises:
        TypeError: If it holds anything else (such as dates), or both.
        ValueError: If rows of a list differ in length.
    """
    if isinstance(value, jax.Array):
        return Column(value)
    if isinstance(value, list):
        value = _of_list(label, value)
    if isinstance(value, np.ma.MaskedArray):
        return _of_masked(label, value)
    if not isinstance(value, np.ndarray):
        categories = _categories_of(value)
        if categories is not None:
            return categories
        value = value.to_numpy()
    return _of_array(label, value)


def _of_list(label: str, value: list[Any]) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"`{label}` must have rows of equal length, got a list whose rows differ in length."
        ) from error
    # NumPy would convert numbers to strings if there are strings among them.
    return np.asarray(value, dtype=object) if array.dtype.kind in "US" else array


def _of_masked(label: str, value: np.ma.MaskedArray) -> Column:
    data, mask = value.data, np.ma.getmaskarray(value)
    if not mask.any():
        return _of_array(label, data)
    if data.dtype.kind in "biuf":
        return Column(np.where(mask, np.nan, data.astype(float)))
    hidden = data.astype(object)
    hidden[mask] = None
    return _of_array(label, hidden)


def _categories_of(value: Any) -> Column | None:
    """The categories of a pandas Categorical, or of a categorical column read by narwhals."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value.dtype, pandas.CategoricalDtype):
        array = getattr(value, "array", value)
        return Column(np.asarray(array.codes), levels_as_stored(array.categories), True)
    name = type(value.dtype).__name__
    if name == "Enum" and hasattr(value.dtype, "categories"):
        levels = tuple(value.dtype.categories)
        return Column(_codes(value.to_list(), levels), levels, True)
    if name == "Categorical":
        return _of_array("", value.to_numpy())._replace(is_declared=True)
    return None


def levels_as_stored(categories: Iterable[Any]) -> tuple[Level, ...]:
    """Categories as strings, numbers or booleans; intervals and dates by their string form."""

    def stored(category: Any) -> Level:
        plain = category.item() if isinstance(category, np.generic) else category
        return plain if isinstance(plain, (str, bool, int, float)) else str(category)

    return tuple(stored(category) for category in categories)


def _of_array(label: str, values: np.ndarray) -> Column:
    kind = values.dtype.kind
    if kind in "biufc":
        return Column(_native(values))
    if kind in "mM":
        raise TypeError(_DATES.format(label=label, kind=values.dtype))
    if kind == "S":
        raise TypeError(
            f"`{label}` must hold numbers or strings, got bytes. Decode them first: "
            "`numpy.char.decode(x)`."
        )
    if kind in "OUT":
        return _of_objects(label, values.astype(object))
    if jax.numpy.issubdtype(values.dtype, np.number):  # bfloat16 and the like
        return Column(values)
    raise TypeError(_NOTHING.format(label=label, kind=values.dtype))


def _native(values: np.ndarray) -> np.ndarray:
    """Numbers in native byte order, in at most double precision."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    largest = {"f": 8, "c": 16}.get(kind, size)
    if values.dtype.isnative and size <= largest:
        return values
    return values.astype(f"{kind}{min(size, largest)}")


def _of_objects(label: str, values: np.ndarray) -> Column:
    """Numbers, strings or booleans given as Python objects, some of which may be missing."""
    flat = values.ravel().tolist()
    types = {type(entry) for entry in flat}
    empty = {t for t in types if t is type(None) or t.__name__ in ("NAType", "NaTType")}
    is_missing = [type(e) in empty or (isinstance(e, float) and e != e) for e in flat]
    families: dict[str, int] = {}
    for row, (entry, hidden) in enumerate(zip(flat, is_missing, strict=True)):
        if not hidden:
            families.setdefault(_family(type(entry)), row)
    if len(families) > 1:
        raise TypeError(_mixture(label, flat, families, values.shape))
    family = next(iter(families), "number")
    if family == "number":
        numbers = [
            np.nan if hidden else e for e, hidden in zip(flat, is_missing, strict=True)
        ]
        return Column(_numbers(numbers).reshape(values.shape))
    if family not in ("word", "boolean"):
        text = _DATES if family == "date" else _NOTHING
        kind = type(flat[families[family]]).__name__
        raise TypeError(text.format(label=label, kind=kind))
    present = {e for e, hidden in zip(flat, is_missing, strict=True) if not hidden}
    levels: tuple[Level, ...] = (False, True)
    if family == "word":
        levels = tuple(sorted(str(word) for word in present))
    codes = _codes(
        [None if h else e for e, h in zip(flat, is_missing, strict=True)], levels
    )
    return Column(codes.reshape(values.shape), levels)


def _codes(entries: list[Any], levels: tuple[Level, ...]) -> np.ndarray:
    numbers = {level: code for code, level in enumerate(levels)}
    return np.array([numbers.get(entry, -1) for entry in entries], dtype=np.int32)


def _numbers(entries: list[Any]) -> np.ndarray:
    if all(isinstance(entry, Integral) for entry in entries):
        try:
            return np.array(entries, dtype=np.int64)
        except OverflowError:
            pass
    return np.array([float(entry) for entry in entries], dtype=float)


def _family(kind: type) -> str:
    if issubclass(kind, str):
        return "word"
    if issubclass(kind, (bool, np.bool_)):
        return "boolean"
    if issubclass(kind, (Real, Decimal)):
        return "number"
    dates = (datetime.date, datetime.time, datetime.timedelta)
    if (
        issubclass(kind, (*dates, np.datetime64, np.timedelta64))
        or kind.__name__ == "Period"
    ):
        return "date"
    return f"objects of type {kind.__name__}"


def _mixture(
    label: str, flat: list[Any], families: dict[str, int], shape: tuple[int, ...]
) -> str:
    width = len(flat) // shape[0]
    found = [
        f"row {at // width} has {flat[at]!r} ({type(flat[at]).__name__})"
        for at in list(families.values())[:2]
    ]
    return (
        f"`{label}` must hold entries of one type, got {', '.join(found)}. Convert all of them "
        "to numbers or strings, or mark them as missing."
    )


def is_number(word: Level) -> bool:
    """Whether a string can be parsed as a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True
