"""Alignment of rows by their pandas index."""

from collections.abc import Sequence

import numpy as np

from ._source import Source

_DIFFERENT = (
    "`{one}` and `{other}` have different indices: {what}. Rows are matched by index. If their "
    "order is the same nevertheless, pass `{other}.to_numpy()`."
)


def row_orders(sources: Sequence[Source]) -> list[np.ndarray | None]:
    """The row positions of each source that align it with the first one.

    Args:
        sources: The sources of rows. Those without an index keep their order.

    Returns:
        Positions for each source; None where no reordering is needed.

    Raises:
        ValueError: If the indices do not contain the same unique labels, or if they differ in
            order while other rows have no index.
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
            f"they have the same labels in different order, and `{bare.label}` has no index to "
            "tell which order its rows have"
        )
        raise ValueError(_DIFFERENT.format(what=what, **names))
    return positions
