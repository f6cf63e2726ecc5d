"""Effective draws a second: `fit` against other packages on posteriordb's models.

Each side fits in a process of its own, in turn (see studies/draws.py): four chains of 1,000 draws
after 500 steps of warm-up, the whole call, compiling included. What is compared are the processor's
seconds, over all threads, for each of the least effective draws. Others are found by the variable
``BENCHMARK_PEERS`` (studies/peers.py), and left out without it. A side's figures are measured
once.
"""

import functools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "studies"))

import draws

from benchmarks.questions import PAIRS


@functools.cache
def of_side(side, name):
    """What one side does with a model, as `draws.of_side`, measured once."""
    found = draws.of_side(side, name)
    assert "error" not in found, found
    return found


@pytest.mark.parametrize(("name", "side"), PAIRS)
def test_seconds_of_an_effective_draw(benchmark, request, name, side):
    """Seconds of an effective draw of a regression."""
    from benchmarks.conftest import describe, parameters_of

    if side != "NumPyro" and draws.interpreter(side) is None:
        pytest.skip(f"{side} has no environment: see benchmarks/studies/peers.py")
    found = {}

    def both():
        found.update({each: of_side(each, name) for each in ("here", side)})

    benchmark.pedantic(both, rounds=1, iterations=1)
    first, again = (
        {who: seen[call]["used"] / seen[call]["least"] for who, seen in found.items()}
        for call in draws.CALLS
    )
    ratio = first["here"] / first[side]
    benchmark.extra_info.update(
        describe(),
        ratio=ratio,
        ratio_range=[ratio, ratio],
        ratio_again=again["here"] / again[side],
        goal=1.2 if side == "NumPyro" else 1.0,  # the same sampler; another
        steps=1,
        seconds_per_step=first["here"],
        other_seconds_per_step=first[side],
        words=(request.function.__doc__ or "").split("\n")[0],
        parameters=parameters_of(request),
    )
