"""What long use does: time, memory, counts. ``python benchmarks/stress.py steps`` runs one part.

Each part prints a row of the table of docs/trust.md; ``make stress`` runs all, each in a process
of its own.
"""

import ctypes
import gc
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI, fit

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tables of the tests

from tests.programs import programs_made

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
    """Programs, memory after some calls and each third of all, processor time for a call."""
    sizes, start = [], 0.0
    thirds = [round(count * k / 3) for k in (1, 2, 3)]
    with programs_made() as made:
        for i in range(count):
            call(i)
            if i + 1 in (MODERATE, *thirds):
                sizes.append(f"{megabytes():.0f} MB")
            if i + 1 == MODERATE:
                start = time.process_time()
    seconds = (time.process_time() - start) / (count - MODERATE)
    print(f"at the end: {held()}", file=sys.stderr)
    jax.clear_caches()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    print(f"after clear_caches and malloc_trim: {held()}", file=sys.stderr)
    return f"{len(made)} | {' | '.join(sizes)} | {1000 * seconds:.2f} ms"


def held() -> str:
    """What this process has: memory, compiled programs, arrays, traced functions."""
    size = megabytes()
    executables = jax.devices()[0].client.live_executables()
    traced = sum(type(x).__name__ == "ClosedJaxpr" for x in gc.get_objects())
    arrays = len(jax.live_arrays())
    return f"{size:.0f} MB, {len(executables)} programs, {arrays} arrays, {traced} jaxprs"


def steps(count: int = 200_000) -> str:
    of = members()
    with programs_made() as made:
        of.run(0, 1000, ROWS, TARGET, progress_bar=False)
        before, start = megabytes(), time.process_time()
        result = of.run(0, count, ROWS, TARGET, batch_size=50, progress_bar=False)
    assert np.isfinite(result.losses).all()
    seconds = (time.process_time() - start) / count
    sizes = f"{before:.0f} MB | | | {megabytes():.0f} MB"
    return f"{len(made)} | {sizes} | {1000 * seconds:.3f} ms"


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


def values() -> str:
    """See tests/fuzz: the values that hypothesis draws for an argument."""
    from tests.fuzz.test_hypothesis import CAME, test_the_same_of_many_values

    numpyro.enable_validation()
    test_the_same_of_many_values()
    return f"{CAME.total()} | " + "; ".join(f"{n} {k}" for k, n in CAME.most_common())


PARTS = (steps, predictions, shapes_of_predictions, shapes_of_runs, fits, mutations, values)

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    by_name = {part.__name__: part for part in PARTS}
    name, *numbers = sys.argv[1:]
    found = by_name[name](*map(float if name == "mutations" else int, numbers))
    print(f"| {name} | {' '.join(numbers) or 'all'} | {found} |")
