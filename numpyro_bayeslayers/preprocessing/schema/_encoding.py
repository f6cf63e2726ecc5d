"""Learn the encoding of one column, and apply it to later data."""

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._column import Column, Level, is_number
from ._numbers import check_floats, fitting, kind_of

_UNSEEN = (
    "`{label}` has the level {level!r} (first in row {row}), which was not in the first data. "
    "Known levels: {known}.{hint} Leave such rows out, or include some in the fit; "
    "`Fit.predict` can draw effects of new levels from the population, see `new_levels`."
)
_OTHER_KIND = (
    "`{label}` held {before} in the first data, and holds {now} now. Pass data of the same "
    "type."
)
_NUMBERS_AS_WORDS = (
    "`{label}` holds numbers as strings, such as {level!r}. Convert them to numbers "
    "(pandas.to_numeric), or mark them as categories (pandas.Categorical)."
)
_OUTSIDE = (
    "`{label}` must hold categories from 0 to {last}, for which the model has coefficients, "
    "got {got}. Increase `num_categories` in the model, or leave such rows out."
)
# The code of the first new level; further new levels have lower codes.
NEW = -2
_KINDS = {
    "bool": "booleans",
    "int": "whole numbers",
    "float": "numbers",
    "complex": "complex numbers",
    "key": "random keys",
    "category": "categories",
}


class ColumnSchema(NamedTuple):
    """The schema of a column, or of all entries of an array.

    Args:
        name: The column's name in a table; None for an array.
        kind: ``"bool"``, ``"int"``, ``"float"``, ``"complex"``, ``"key"`` or
            ``"category"``.
        levels: The categories in the order of their codes; None for numbers.
        num_codes: For integers that are codes of categories, the number of categories, which is
            above all codes; None for other numbers.
    """

    name: str | int | None
    kind: str
    levels: tuple[Level, ...] | None = None
    num_codes: int | None = None


def learn(label: str, name: Any, column: Column) -> tuple[ColumnSchema, Any]:
    """The schema of a column, and its numbers or codes."""
    values, levels = column.values, column.levels
    if levels is None:
        values = fitting(values)
        kind = kind_of(values)
        check(label, kind, values, is_first=True)
        return ColumnSchema(name, kind), values
    words = [level for level in levels if isinstance(level, str)]
    if words and not column.is_declared and all(map(is_number, words)):
        raise TypeError(_NUMBERS_AS_WORDS.format(label=label, level=words[0]))
    if len({_key(level) for level in levels}) < len(levels):
        raise ValueError(
            f"`{label}` must have distinct levels, got {some(levels)}, two of which have the "
            "same string form. Rename one."
        )
    check(label, "category", values, is_first=True)
    return ColumnSchema(name, "category", levels), values.astype(np.int32)


def encode(
    label: str, known: ColumnSchema, column: Column, *, may_be_new: bool = False
) -> Any:
    """Encode a later column by the schema of the first.

    Args:
        label: Its name in errors.
        known: The schema of the first column.
        column: The later column.
        may_be_new: Whether unknown levels get the codes -2, -3, ... in order; otherwise they
            are an error.

    Raises:
        TypeError: If it has the wrong type.
        ValueError: If an entry is missing, infinite, or an unknown level.
    """
    if known.levels:
        values = _codes(label, known, column, may_be_new)
    else:
        values = _numbers(label, known, column)
    check(label, known.kind, values, is_first=False)
    if may_be_new and known.levels is None and known.num_codes is not None:
        values = _new_codes(values, np.asarray(values) >= known.num_codes)
    check_codes(label, known, values, may_be_new=may_be_new)
    return values


def _new_codes(values: Any, is_new: np.ndarray) -> np.ndarray:
    """`values` with the distinct new ones numbered -2, -3, ..."""
    values = np.array(values)
    _, places = np.unique(values[is_new], return_inverse=True)
    values[is_new] = NEW - places
    return values


def check_codes(
    label: str, known: ColumnSchema, values: Any, *, may_be_new: bool = False
) -> None:
    """Check that codes belong to existing categories or, from -2 down, to new ones."""
    if known.num_codes is None:
        return
    codes = np.asarray(values)
    outside = (codes < 0) | (codes >= known.num_codes)
    if may_be_new:
        outside &= codes > NEW
    if outside.any():
        wrong = np.unique(codes[outside]).tolist()
        if known.levels:
            wrong = [known.levels[code] for code in wrong]
        got = f"{some(wrong)} (first in row {int(np.argwhere(outside)[0][0])})"
        raise ValueError(_OUTSIDE.format(label=label, last=known.num_codes - 1, got=got))


def check(label: str, kind: str, values: Any, *, is_first: bool) -> None:
    """Check that no entry is missing and that numbers keep their values in JAX."""
    if kind != "category":
        if kind in ("float", "complex", "int"):
            check_floats(label, values, is_first=is_first)
        return
    missing = np.asarray(values) == -1
    if missing.any():
        raise ValueError(
            f"`{label}` has {int(missing.sum())} missing entries (first in row "
            f'{int(np.argwhere(missing)[0][0])}). Drop these rows, or make "missing" a level: '
            "`x.fillna('missing')`."
        )


def _codes(label: str, known: ColumnSchema, column: Column, may_be_new: bool) -> np.ndarray:
    levels, values = column.levels, column.values
    if levels is None:
        if all(isinstance(level, str) for level in known.levels or ()):
            raise TypeError(_other_kind(label, known, column))
        found, values = np.unique(np.asarray(values), return_inverse=True)
        levels, values = tuple(found.tolist()), values.reshape(column.values.shape)
    codes = {_key(level): code for code, level in enumerate(known.levels or ())}
    new = np.array([codes.get(_key(level), NEW) for level in levels] + [-1], dtype=np.int32)
    if may_be_new:
        new[np.flatnonzero(new == NEW)] = NEW - np.arange((new == NEW).sum())
    values = new[
        np.asarray(values)
    ]  # -1, the code of missing entries, selects the last one
    unseen = values == NEW
    if unseen.any() and not may_be_new:
        row = tuple(np.argwhere(unseen)[0])
        level = levels[int(np.asarray(column.values)[row])] if column.levels else None
        level = np.asarray(column.values)[row].item() if level is None else level
        raise ValueError(
            _UNSEEN.format(
                label=label,
                level=level,
                row=int(row[0]),
                known=some(known.levels or ()),
                hint=_hint(level, known.levels or ()),
            )
        )
    return values


def _numbers(label: str, known: ColumnSchema, column: Column) -> Any:
    values = column.values
    if column.levels is not None:
        if known.kind != "bool" or column.levels != (False, True):
            raise TypeError(_other_kind(label, known, column))
        check(label, "category", values, is_first=False)
        return values.astype(bool)
    given = kind_of(values)
    if given == known.kind:
        return fitting(values)
    if "key" in (given, known.kind) or (given == "complex" and known.kind != "complex"):
        raise TypeError(_other_kind(label, known, column))
    values = np.asarray(values)
    if known.kind == "bool":
        if not np.isin(values, (0, 1)).all():
            raise TypeError(_other_kind(label, known, column))
        return values.astype(bool)
    if known.kind != "int":
        return values.astype(known.kind)
    is_whole = (
        given == "bool" or ((values == np.round(values)) & (abs(values) < 2**53)).all()
    )
    return fitting(values.astype(np.int64)) if is_whole else values


def some(levels: Sequence[Level]) -> str:
    """The first levels, for an error message."""
    shown = ", ".join(repr(level) for level in levels[:10])
    return shown + (f" and {len(levels) - 10} more" if len(levels) > 10 else "")


def _other_kind(label: str, known: ColumnSchema, column: Column) -> str:
    before = _KINDS[known.kind]
    if known.levels:
        before += f" ({some(known.levels)})"
    now = _KINDS[kind_of(column.values)] if column.levels is None else "categories"
    if column.levels:
        now += f" ({some(column.levels)})"
    return _OTHER_KIND.format(label=label, before=before, now=now)


def _hint(level: Level, known: tuple[Level, ...]) -> str:
    close = difflib.get_close_matches(str(level), [str(k) for k in known], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _key(level: Level) -> tuple[bool, Level]:
    """A key that is the same for equal levels; True and 1 differ."""
    return isinstance(level, bool), level
