"""Arguments made wrong: none is taken, and next to all are refused by their names.

Here some, drawn by a fixed seed; ``python benchmarks/stress.py mutations`` tries all.
"""

import random
import warnings

import pytest

from .mutations import ACCEPTED, UNCLEAR, calls, mutations, outcome

pytestmark = pytest.mark.usefixtures("as_users_run")
FEW, MANY = 150, 1000


@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_wrong_arguments_are_refused_by_name(number):
    """Of a hundred, one may raise an error that does not name its argument."""
    found = calls()
    chosen = random.Random(0).sample(mutations(found), number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        came = [(m[:3], *outcome(found[m.call], m)) for m in chosen]
    accepted = [where for where, kind, _ in came if kind == ACCEPTED]
    unclear = [(*where, text[:200]) for where, kind, text in came if kind == UNCLEAR]
    assert not accepted
    assert len(unclear) <= -(-number // 100), unclear
