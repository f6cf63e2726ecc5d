"""How seconds and memory grow with members, rows, width and draws.

python -m benchmarks.studies.growth            all sizes, each in a process of its own
python -m benchmarks.studies.growth step rows 10000000      one of them

Seconds are the processor's, of one step or one prediction after a first call of the same kind;
memory is the most that the process held, less what it held before the data. Exponents are
slopes of logarithms over the upper half of the sizes, where what is fixed counts least.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np

from .tables import keep

#: What is the same while one of them grows.
USUAL = {"members": 16, "rows": 10_000, "width": 32, "draws": 100}
BATCH, COLUMNS = 256, 8
#: What runs, what grows, and its sizes.
GROWING = (
    ("step of a minibatch", "members", (1, 4, 16, 64, 256, 1024)),
    ("step of a minibatch", "rows", (1_000, 10_000, 100_000, 1_000_000, 10_000_000)),
    ("step of all rows", "rows", (1_000, 10_000, 100_000, 1_000_000)),
    ("step of a minibatch", "width", (8, 32, 128, 512)),
    ("prediction of 1,000 rows", "draws", (1, 10, 100, 1_000)),
    ("prediction of 1,000 rows", "members", (1, 16, 256)),
)
#: So many seconds of work are timed, by steps of one call.
SECONDS, MOST_STEPS = 0.5, 200


def held():
    """The most memory that this process has held, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def made(size):
    """The ensemble and its data."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    import optax
    from numpyro.infer.autoguide import AutoNormal

    from numpyro_bayeslayers.infer import EnsembleSVI
    from numpyro_bayeslayers.layers import DenseReparameterization

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
    import jax

    ensemble, x, y, before = made(size)
    if what.startswith("prediction"):
        fit = ensemble.run(0, 1, x, y, batch_size=BATCH, progress_bar=False)
        few, draws = x[:1000], size["draws"]
        predict = lambda: jax.block_until_ready(
            ensemble.predict(1, fit, few, num_samples=draws)
        )
        before = held()
        predict()
        return {"seconds": work(predict), "bytes": held() - before}
    batch = BATCH if what == "step of a minibatch" else None
    run = lambda steps: ensemble.run(0, steps, x, y, batch_size=batch, progress_bar=False)
    run(2)
    steps = int(np.clip(SECONDS / max(work(lambda: run(2)) / 2, 1e-4), 10, MOST_STEPS))
    run(steps)
    # The start and the looks at the data, which do not grow with the steps, go out.
    seconds = (work(lambda: run(2 * steps)) - work(lambda: run(steps))) / steps
    return {"seconds": max(seconds, 1e-6), "bytes": held() - before}


def exponent(sizes, values):
    """The slope of logarithms over the upper half."""
    half = max(2, (len(sizes) + 1) // 2)
    return np.polyfit(np.log(sizes[-half:]), np.log(np.maximum(values[-half:], 1)), 1)[0]


def alone(what, name, size):
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.studies.growth", what, name, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    rows = []
    for what, name, sizes in GROWING:
        found = [alone(what, name, size) for size in sizes]
        seconds = [1e6 * one["seconds"] for one in found]
        memory = [one["bytes"] for one in found]
        for size, time_, space in zip(sizes, seconds, memory, strict=True):
            print(
                what,
                name,
                size,
                f"{time_ / 1e3:.3g} ms, {space / 2**20:.0f} MiB",
                flush=True,
            )
        rows.append(
            (
                f"{what}, by {name}",
                f"{sizes[0]:,} to {sizes[-1]:,}",
                f"{seconds[0] / 1e3:.3g} to {seconds[-1] / 1e3:.3g}",
                f"{exponent(sizes, seconds):.2f}",
                f"{memory[0] / 2**20:.0f} to {memory[-1] / 2**20:.0f}",
                f"{exponent(sizes, memory):.2f}",
            )
        )
    header = ["What, by what", "sizes", "ms", "exponent", "MiB", "exponent"]
    keep("growth", header, rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asked = {**USUAL, sys.argv[2]: int(sys.argv[3])}
        print(json.dumps(measured(sys.argv[1], asked)))
    else:
        main()
