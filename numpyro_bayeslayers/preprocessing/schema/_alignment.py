"""Rows matched by the index of pandas, or refused."""

from collections.abc import Sequence

import numpy as np

from ._source import Source

_DIFFERENT = (
    "`{one}` and `{other}` have different indices: {what}. Rows are matched by their index. "
    "Where they stand in one order all the same, hand over `{other}.to_numpy()`."
)


def row_orders(sources: Sequence[Source]) -> list[np.ndarray | None]:
    """How the rows of each source are to be taken, so that they are those of the first.

    Args:
        sources: What is rows. Those without an index stand as they stand.

    Returns:
        Positions; None for rows that stand right.

    Raises:
        ValueError: If indices do not hold the same labels once each, or differ in order
            beside rows that have none.
    """
    indexed = [source for source in sources if source.index is not None]
    if not indexed:
        return [None] * len(sources)
    first = indexed[0]
    bare = next((source for source in sources if source.index is None), None)
    return [_order(first, source, bare) for source in sources]


def _order(first: Source, source: Source, bare: Source | None) -> np.ndarray | None:
    index = source.index
    if index is None or index is first.index or index.equals(first.index):
        return None
    names = {"one": first.label, "other": source.label}
    for labels, name in ((first.index, first.label), (index, source.label)):
        if not labels.is_unique:
            twice = labels[labels.duplicated()].tolist()[0]
            what = (
                f"they are not equal, and `{name}` has the label {twice!r} more than once"
            )
            raise ValueError(_DIFFERENT.format(what=what, **names))
    positions = index.get_indexer(first.index)
    if (positions < 0).any():
        missing = first.index[positions < 0].tolist()[0]
        what = f"`{first.label}` has the label {missing!r}, `{source.label}` has not"
        raise ValueError(_DIFFERENT.format(what=what, **names))
    if bare is not None:
        what = (
            f"they hold the same labels in another order, and `{bare.label}` has no index "
            "that says in which of the two its rows stand"
        )
        raise ValueError(_DIFFERENT.format(what=what, **names))
    return positions
