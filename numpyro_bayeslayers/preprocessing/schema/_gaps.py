"""Find missing entries."""

from typing import Any, NamedTuple

import numpy as np

from ._column import Column, read_column
from ._source import Argument, Source


class Gaps(NamedTuple):
    """An argument with its missing entries filled.

    Args:
        filled: The argument, with each missing entry replaced by the column's first present
            one.
        is_missing: Masks of missing entries, in the structure of the argument.
        count: The number of missing entries.
        row: The first row with a missing entry; 0 if there is none.
    """

    filled: Argument
    is_missing: Any
    count: int
    row: int


def find_gaps(name: str, value: Any) -> Gaps:
    """Find missing entries: NaN, None, NA, masked entries, and missing categories.

    Raises:
        ValueError: If all entries of a column are missing.
    """
    given = Argument.of(name, value)
    sources, masks = [], []
    for source in given.sources:
        filled, mask = (source, None) if source is None else _of_source(source)
        sources.append(filled)
        masks.append(mask)
    found = [mask for mask in masks if mask is not None]
    rows = [int(np.argwhere(mask)[0][0]) for mask in found if mask.any()]
    return Gaps(
        given._replace(sources=tuple(sources)),
        given.filled(masks),
        sum(int(mask.sum()) for mask in found),
        min(rows, default=0),
    )


def _of_source(source: Source) -> tuple[Source, np.ndarray]:
    names = source.names or (None,)
    pairs = [
        _of_column(source.label if name is None else f"{source.label}[{name!r}]", values)
        for name, values in zip(names, source.columns, strict=True)
    ]
    masks = [mask for _, mask in pairs]
    whole = masks[0] if source.names is None else np.stack(masks, axis=1)
    return source._replace(columns=tuple(column for column, _ in pairs)), whole


def _of_column(label: str, values: Any) -> tuple[Column, np.ndarray]:
    column = read_column(label, values)
    entries = np.asarray(column.values)
    if column.levels is not None:
        mask = entries < 0
    elif entries.dtype.kind in "fc":
        mask = np.isnan(entries)
    else:
        mask = np.zeros(entries.shape, bool)
    if not mask.any():
        return column, mask
    if mask.all():
        raise ValueError(
            f"`{label}` must have at least one entry that is not missing, got none."
        )
    first = entries[~mask][0]
    return column._replace(values=np.where(mask, first, entries)), mask
