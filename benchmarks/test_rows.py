"""How a step of eight modes grows with the rows, beside the least that one could write by hand."""

import jax
import pytest

from benchmarks.questions import ROWS
from benchmarks.test_ensemble import (
    ADAM,
    MODELS,
    by_hand,
    contiguous,
    data,
    hand_scan,
    minibatch_scan,
)
from numpyro_bayeslayers.infer import EnsembleMAP

MEMBERS, BATCH, STEPS = 8, 256, {1_000: 200, 10_000: 20, 100_000: 2}
#: Steps in minibatches: few passes, and at least one.
FEWEST = 200


@pytest.mark.parametrize("rows", ROWS)
def test_all_rows(compare, as_in_long_runs, rows):
    """A step on all rows, against the hand-written one."""
    x, y = data(rows)
    log_joint, init_fn = MODELS["mlp"]
    init, step = by_hand(log_joint, init_fn, MEMBERS)
    steps = STEPS[rows]
    compare(
        _run(log_joint, init_fn, steps, x, y),
        hand_scan(init, step, x, y, steps),
        steps=steps,
        rounds=5,
        goal=1.05,
    )


@pytest.mark.parametrize("rows", [*ROWS, 1_000_000])
def test_minibatch(compare, as_in_long_runs, rows):
    """A step on 256 rows in shuffled order, against the next 256 rows in their order.

    At least one pass over the rows: what comes once for each run or each pass, the look at all
    rows and their order, is divided among so many steps, as it is for users.
    """
    x, y = data(rows)
    log_joint, init_fn = MODELS["mlp"]
    init, step = by_hand(log_joint, init_fn, MEMBERS)
    steps = max(FEWEST, rows // BATCH)
    scan = minibatch_scan(step, x, y, BATCH, steps, contiguous)
    compare(
        _run(log_joint, init_fn, steps, x, y, batch_size=BATCH),
        lambda: scan(init(jax.random.key(0)))[1],
        steps=steps,
        rounds=3 if rows > 100_000 else 5,
        goal=1.2,
    )


def _run(log_joint, init_fn, steps, x, y, batch_size=None):
    ensemble = EnsembleMAP(log_joint, init_fn, ADAM, MEMBERS)
    return lambda: (
        ensemble.run(
            jax.random.key(0),
            steps,
            x,
            y,
            batch_size=batch_size,
            progress_bar=False,
        ).losses
    )
