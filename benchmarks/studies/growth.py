"""How seconds and memory grow with members, rows, width and draws.

python -m benchmarks.studies.growth [--only NAME ...]

Each size has a process of its own, and each line is kept as soon as it is there. Seconds are the
processor's, of one step or one prediction after a first call of the same kind; memory is the most
that the process held, less what it held before the data. Exponents are slopes of logarithms over
the upper half of the sizes, where what is fixed counts least.
"""

import argparse
import multiprocessing
import os
import resource
import time

# Chosen here, so that short and long runs, whose difference is timed, are compiled alike.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=3")

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.layers import DenseReparameterization

from .tables import keep, kept

#: What is the same while one of them grows.
USUAL = {"members": 16, "rows": 10_000, "width": 32, "draws": 100}
BATCH, COLUMNS = 256, 8
#: What runs, what grows, and its sizes.
GROWING = {
    "members": ("minibatch", "members", (1, 16, 256, 1024)),
    "rows": ("minibatch", "rows", (1_000, 100_000, 10_000_000)),
    "all-rows": ("all rows", "rows", (1_000, 10_000, 100_000)),
    "width": ("minibatch", "width", (8, 64, 512)),
    "draws": ("prediction", "draws", (1, 30, 1_000)),
}
NAMES = {
    "minibatch": f"a step on {BATCH} rows",
    "all rows": "a step on all rows",
    "prediction": "a prediction of 1,000 rows",
}
#: So many seconds of work are timed, by steps of one call.
SECONDS, FEWEST_STEPS, MOST_STEPS, ROUNDS = 1.0, 4, 200, 3


def held():
    """The most memory that this process has held, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def made(size):
    """The ensemble and its data."""

    def model(x, y=None):
        h = jnp.tanh(DenseReparameterization(COLUMNS, size["width"], name="h")(x))
        f = DenseReparameterization(size["width"], 1, name="f")(h)[..., 0]
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(f, 0.3), obs=y)

    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(1e-3), num_members=size["members"])
    before = held()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size["rows"], COLUMNS), np.float32)
    return ensemble, x, np.sin(x.sum(1)), before


def work(call):
    """The processor's seconds of a call that has been made before."""
    start = time.process_time()
    call()
    return time.process_time() - start


def measured(what, size):
    """Seconds and bytes of one size, in this process."""
    ensemble, x, y, before = made(size)
    if what == "prediction":
        fit = ensemble.run(0, 1, x, y, batch_size=BATCH, progress_bar=False)
        few, draws = x[:1000], size["draws"]
        predict = lambda: jax.block_until_ready(
            ensemble.predict(1, fit, few, num_samples=draws)
        )
        before = held()
        predict()
        return {"seconds": work(predict), "bytes": held() - before}
    batch = BATCH if what == "minibatch" else None
    run = lambda steps: ensemble.run(0, steps, x, y, batch_size=batch, progress_bar=False)
    run(2)
    steps = int(
        np.clip(SECONDS / max(work(lambda: run(2)) / 2, 1e-4), FEWEST_STEPS, MOST_STEPS)
    )
    if size["rows"] >= 1_000_000:  # a look at so many takes as long as many steps
        steps = 10 * MOST_STEPS
    run(steps)
    run(3 * steps)
    # The start and the looks at the data, which do not grow with the steps, go out.
    rounds = [
        work(lambda: run(3 * steps)) - work(lambda: run(steps)) for _ in range(ROUNDS)
    ]
    return {"seconds": float(np.median(rounds)) / (2 * steps), "bytes": held() - before}


def exponent(sizes, values):
    """The slope of logarithms over the upper half."""
    half = max(2, (len(sizes) + 1) // 2)
    return np.polyfit(np.log(sizes[-half:]), np.log(np.maximum(values[-half:], 1)), 1)[0]


def alone(what, size):
    """The same in a process of its own, which begins before JAX has computed anything."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(measured, (what, size))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=GROWING, default=list(GROWING))
    only = parser.parse_args().only
    header = ["What, by what", "sizes", "ms", "exponent", "MiB", "exponent"]
    rows = dict(kept("growth"))
    for key, (what, name, sizes) in GROWING.items():
        line = f"{NAMES[what]}, by {name}"
        if key in only:
            rows[line] = line_of(what, name, sizes)
            keep("growth", header, [(first, *rest) for first, rest in rows.items()])


def line_of(what, name, sizes):
    """Sizes, and seconds and memory of the first and the last with their exponents."""
    found = [alone(what, {**USUAL, name: size}) for size in sizes]
    times = [1e6 * one["seconds"] for one in found]
    memory = [one["bytes"] for one in found]
    for size, time_, space in zip(sizes, times, memory, strict=True):
        figures = f"{time_ / 1e3:.3g} ms, {space / 2**20:.0f} MiB"
        print(what, name, size, figures, flush=True)
    return [
        f"{sizes[0]:,} to {sizes[-1]:,}",
        f"{times[0] / 1e3:.3g} to {times[-1] / 1e3:.3g}",
        f"{exponent(sizes, times):.2f}",
        f"{memory[0] / 2**20:.0f} to {memory[-1] / 2**20:.0f}",
        f"{exponent(sizes, memory):.2f}",
    ]


if __name__ == "__main__":
    main()
