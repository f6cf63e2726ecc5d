"""Blocks of rows and members in which a prediction is computed, if memory requires it."""

import zlib
from collections.abc import Collection
from typing import Any, NamedTuple

from jax import random
from jax.extend.core import ClosedJaxpr
from numpyro.primitives import Messenger

from ..._typing import Message, Model, PRNGKey
from ...handlers._mc_dropout import ROW_KEY
from ..compilation._memory import MOST_BYTES, output_bytes, peak_bytes
from ..rows._arguments import Arguments
from ..rows._row_terms import row_terms
from ..rows._rows import refuse_joint


class Cut(NamedTuple):
    """The size of the blocks of a prediction.

    Args:
        rows: Number of rows at a time.
        members: Number of members at a time, in each draw.
    """

    rows: int
    members: int


def cut_to_fit(whole: ClosedJaxpr, of: Cut, *, is_reduced: bool) -> Cut:
    """The largest blocks of rows and members that fit in memory.

    Members are split first, which never changes results. Rows are split if a single member
    needs too much memory.

    Args:
        whole: The program for all of them.
        of: The total numbers of rows and members.
        is_reduced: Whether draws are reduced to a statistic, so that the outputs need not be
            stored.
    """
    given = output_bytes(whole)
    held = max(peak_bytes(whole) - given, 1)
    members = min(of.members, max(1, of.members * MOST_BYTES // held))
    rows = min(of.rows, of.rows * MOST_BYTES * of.members // held)
    if is_reduced:
        rows = min(rows, of.rows * MOST_BYTES // max(given, 1))
    return Cut(max(1, rows), members)


def check_blocks(model: Model, parts: Arguments, size: int, sites: tuple[str, ...]) -> None:
    """Check that predictions in blocks of `size` rows equal those of all rows at once.

    Args:
        model: The model, which draws what it observes.
        parts: Its arguments.
        size: Number of rows in a block.
        sites: The predicted sites.

    Raises:
        ValueError: If the prediction of a row depends on other rows.
    """
    terms = row_terms(model, parts, size)
    if terms is not None:
        asked = {name: term for name, term in terms.items() if name in sites}
        refuse_joint("Predictions in blocks of rows would differ", asked)


class one_for_all_rows(Messenger):  # noqa: N801
    """Uses the same key in all blocks for sites that do not grow with the rows."""

    def __init__(self, fn: Any, key: PRNGKey, grows: Collection[str]) -> None:
        self.key = key
        self.grows = grows
        self.asked = 0
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == ROW_KEY:
            self.asked += 1
            msg["value"] = random.fold_in(self.key, self.asked)
        is_drawn = msg["type"] == "sample" and not msg["is_observed"]
        if is_drawn and msg["value"] is None and msg["name"] not in self.grows:
            own = zlib.crc32(msg["name"].encode())
            msg["kwargs"]["rng_key"] = random.fold_in(self.key, own)
