"""What long use does: time, memory, counts. ``python benchmarks/stress.py steps`` runs one part.

Each part prints a row of the table of docs/trust.md; ``make stress`` runs all, each in a process
of its own.
"""

import gc
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI, fit

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tables of the tests

ROWS = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
TARGET = ROWS.sum(1)
MODERATE = 20  # before memory is looked at for the first time


def megabytes() -> float:
    """The memory of this process that is not shared out, in 2**20 bytes; Linux only."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def model(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def members() -> EnsembleSVI:
    return EnsembleSVI(model, AutoNormal, optax.adam(0.01), num_members=4)


def repeated(call: Callable[[int], object], count: int) -> str:
    """Memory after some calls and after all, and the seconds of the processor for a call."""
    for i in range(MODERATE):
        call(i)
    before, start = megabytes(), time.process_time()
    for i in range(MODERATE, count):
        call(i)
    seconds = (time.process_time() - start) / (count - MODERATE)
    return f"{before:.0f} MB | {megabytes():.0f} MB | {1000 * seconds:.2f} ms"


def steps(count: int = 200_000) -> str:
    of = members()
    of.run(0, 1000, ROWS, TARGET, progress_bar=False)
    before, start = megabytes(), time.process_time()
    result = of.run(0, count, ROWS, TARGET, batch_size=50, progress_bar=False)
    assert np.isfinite(result.losses).all()
    seconds = (time.process_time() - start) / count
    return f"{before:.0f} MB | {megabytes():.0f} MB | {1000 * seconds:.3f} ms"


def predictions(count: int = 10_000) -> str:
    of = members()
    result = of.run(0, 100, ROWS, TARGET, progress_bar=False)
    return repeated(lambda i: of.predict(i, result, ROWS[:50], num_samples=20), count)


def shapes_of_predictions(count: int = 300) -> str:
    """Of draws that are so many that they are compiled."""
    of = members()
    result = of.run(0, 100, ROWS, TARGET, progress_bar=False)
    draws = 50_000
    return repeated(
        lambda i: of.predict(i, result, ROWS[: 10 + i], num_samples=draws), count
    )


def shapes_of_runs(count: int = 300) -> str:
    of = members()
    one = lambda i: of.run(0, 5, ROWS[: 10 + i], TARGET[: 10 + i], progress_bar=False)
    return repeated(one, count)


def fits(count: int = 100) -> str:
    def one(i: int) -> None:
        found = fit(model, y=TARGET, x=ROWS, seed=i, num_steps=50, progress_bar=False)
        found.predict(x=ROWS[:10], num_samples=20)

    return repeated(one, count)


def mutations(share: float = 1.0) -> str:
    """See tests/fuzz: every argument of every call, made wrong."""
    from tests.fuzz.mutations import ACCEPTED, OTHER, UNCLEAR, calls, mutations, outcome

    numpyro.enable_validation()
    found, counts = calls(), Counter()
    all_of_them = mutations(found)
    chosen = random.Random(0).sample(all_of_them, round(share * len(all_of_them)))
    for mutation in chosen:
        kind, text = outcome(found[mutation.call], mutation)
        counts[kind] += 1
        if kind in (ACCEPTED, OTHER, UNCLEAR):
            where = mutation.call, mutation.argument, mutation.kind
            print(kind, *where, text[:200].replace("\n", " "), sep=" | ", file=sys.stderr)
    return f"{len(chosen)} | " + "; ".join(f"{n} {k}" for k, n in counts.most_common())


PARTS = (steps, predictions, shapes_of_predictions, shapes_of_runs, fits, mutations)

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    by_name = {part.__name__: part for part in PARTS}
    name, *numbers = sys.argv[1:]
    found = by_name[name](*map(float if name == "mutations" else int, numbers))
    print(f"| {name} | {' '.join(numbers) or 'all'} | {found} |")
