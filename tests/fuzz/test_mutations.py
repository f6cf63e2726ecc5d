"""Arguments made wrong: none is taken, and next to all are refused by their names.

Here some, drawn by a fixed seed; ``python benchmarks/stress.py mutations`` tries all.
"""

import random
import warnings

import pytest

from .mutations import ACCEPTED, UNCLEAR, calls, mutations, outcome

pytestmark = pytest.mark.usefixtures("as_users_run")
NUMBER = 400
MOST_UNCLEAR = NUMBER // 100


def test_wrong_arguments_are_refused_by_name():
    found = calls()
    chosen = random.Random(0).sample(mutations(found), NUMBER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        came = [(m[:3], *outcome(found[m.call], m)) for m in chosen]
    accepted = [where for where, kind, _ in came if kind == ACCEPTED]
    unclear = [(*where, text[:200]) for where, kind, text in came if kind == UNCLEAR]
    assert not accepted
    assert len(unclear) <= MOST_UNCLEAR, unclear
