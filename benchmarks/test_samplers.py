"""Effective draws a second: `fit` against other packages on posteriordb's models.

Each side fits in a process of its own, in turn (see studies/draws.py): four chains of 1,000 draws
after 500 steps of warm-up, the whole call, compiling included. What is compared are the processor's
seconds, over all threads, for each of the least effective draws. Others are found by the variable
``BENCHMARK_PEERS`` (studies/peers.py), and left out without it.
"""

import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "studies"))

import draws

ROUNDS = 3


@pytest.mark.parametrize("side", [side for side in draws.SIDES if side != "here"])
@pytest.mark.parametrize("name", draws.LINES)
def test_seconds_of_an_effective_draw(benchmark, request, name, side):
    """Seconds of an effective draw of a regression."""
    from benchmarks.conftest import describe, parameters_of

    if side != "NumPyro" and draws.interpreter(side) is None:
        pytest.skip(f"{side} has no environment: see benchmarks/studies/peers.py")
    found = {"here": [], side: []}

    def both():
        for each, seen in found.items():
            answer = draws.of_side(each, name)
            assert "error" not in answer, answer
            seen.append(answer)

    benchmark.pedantic(both, rounds=ROUNDS, iterations=1)
    cost = {
        (who, call): [each[call]["used"] / each[call]["least"] for each in seen]
        for who, seen in found.items()
        for call in draws.CALLS
    }
    ratios, again = (
        [a / b for a, b in zip(cost["here", call], cost[side, call], strict=True)]
        for call in draws.CALLS
    )
    benchmark.extra_info.update(
        describe(),
        ratio=statistics.median(ratios),
        ratio_range=[min(ratios), max(ratios)],
        ratio_again=statistics.median(again),
        goal=1.2 if side == "NumPyro" else 1.0,  # the same sampler; another
        steps=1,
        seconds_per_step=statistics.median(cost["here", "first"]),
        other_seconds_per_step=statistics.median(cost[side, "first"]),
        words=(request.function.__doc__ or "").split("\n")[0],
        parameters=parameters_of(request),
    )
