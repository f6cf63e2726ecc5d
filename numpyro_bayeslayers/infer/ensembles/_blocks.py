"""How much of a prediction is computed at a time: all of it, if that fits."""

import zlib
from collections.abc import Collection
from typing import Any, NamedTuple

from jax import random
from jax.extend.core import ClosedJaxpr
from numpyro.primitives import Messenger

from ..._typing import Message, Model, PRNGKey
from ...handlers._mc_dropout import ROW_KEY
from ..training._arguments import Arguments
from ..training._memory import MOST_BYTES, output_bytes, peak_bytes
from ..training._row_terms import row_terms
from ..training._rows import refuse_joint


class Cut(NamedTuple):
    """How much of a prediction is computed at a time.

    Args:
        rows: Rows at a time.
        members: Members at a time, in each draw.
    """

    rows: int
    members: int


def cut_to_fit(whole: ClosedJaxpr, of: Cut, *, is_reduced: bool) -> Cut:
    """The rows and members at a time that fit in memory: as many as there are, if they do.

    Members are parted first, which changes no number in any model. Rows are, where one
    member by itself asks for too much.

    Args:
        whole: The program for all of them.
        of: How many there are.
        is_reduced: Whether its draws are reduced, so that what it gives need not be kept.
    """
    given = output_bytes(whole)
    held = max(peak_bytes(whole) - given, 1)
    members = min(of.members, max(1, of.members * MOST_BYTES // held))
    rows = min(of.rows, of.rows * MOST_BYTES * of.members // held)
    if is_reduced:
        rows = min(rows, of.rows * MOST_BYTES // max(given, 1))
    return Cut(max(1, rows), members)


def check_blocks(model: Model, parts: Arguments, size: int, sites: tuple[str, ...]) -> None:
    """Blocks of `size` rows predict what all rows at once do.

    Args:
        model: The model, which draws what it observes.
        parts: Its arguments.
        size: Rows in a block.
        sites: The sites that are predicted.

    Raises:
        ValueError: If its rows are not the same alone and among others.
    """
    terms = row_terms(model, parts, size)
    if terms is not None:
        asked = {name: term for name, term in terms.items() if name in sites}
        refuse_joint("Blocks of rows would predict by another model", asked)


class one_for_all_rows(Messenger):  # noqa: N801
    """Draws what does not grow with the rows by a key that is the same in all blocks."""

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
