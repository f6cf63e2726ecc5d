"""A program for several processes, which the tests of several processes start.

python -m tests.infer.processes CASE FOLDER PROCESS PROCESSES PORT
"""

import os
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.infer import NUTS
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers import _processes
from numpyro_bayeslayers.infer import (
    Checkpoint,
    EarlyStopping,
    EnsembleMAP,
    EnsembleMCMC,
    EnsembleSVI,
    EnsembleVI,
)

MEMBERS, STEPS, BATCH = 4, 20, 6
# Of NumPy: nothing may be computed by JAX before processes know each other.
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 2)).astype(np.float32)
Y = (X @ [1.0, -1.0] + 0.3 * RNG.normal(size=12)).astype(np.float32)


def model(x, y=None):
    """Linear regression with a learned spread."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w, spread), obs=y)


def log_joint(w, x, y):
    return -0.5 * jnp.sum((y - x @ w) ** 2), -0.5 * jnp.sum(w**2)


def start(key):
    return jax.random.normal(key, (2,))


def devices():
    """A mesh of all devices; the rows are split over the processes."""
    rows = jax.process_count()
    axes = {"mesh": None, "data_axis": None}
    if len(jax.devices()) > 1:
        mesh = jax.make_mesh((rows, len(jax.devices()) // rows), ("rows", "ensemble"))
        axes = {"mesh": mesh, "data_axis": "rows"}
    return axes


def svi(**where):
    return EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=MEMBERS, **where)


def minibatches(folder, where):
    """A run that is saved as it goes, and its result in a file."""
    checkpoint = Checkpoint(f"{folder}/run.ckpt", every=10)
    ensemble = svi(**where)
    quiet = {"batch_size": BATCH, "progress_bar": False}
    result = ensemble.run(0, STEPS, X, Y, checkpoint=checkpoint, **quiet)
    result.save(f"{folder}/result.safetensors")
    return ensemble, result


def everything(folder, where):
    """All that runs over devices, as arrays by name."""
    ensemble, result = minibatches(folder, where)
    found = {"svi": result.params["w_auto_loc"], "losses": result.losses}
    found["predict"] = ensemble.predict(1, result, X[:8], num_samples=3)["y"]
    mean = ensemble.predict(1, result, X, num_samples=3, statistic=lambda v: v.mean((0, 1)))
    found["mean"] = mean["y"]
    on = result.state
    further = ensemble.run(
        0, STEPS, X, Y, init_state=on, batch_size=BATCH, progress_bar=False
    )
    found["further"] = further.params["w_auto_loc"]
    taken = Checkpoint(f"{folder}/taken.ckpt", every=10)
    quiet = {"batch_size": BATCH, "progress_bar": False, "checkpoint": taken}
    found["taken up"] = ensemble.run(0, 30, X, Y, **quiet).params["w_auto_loc"]
    rule = EarlyStopping(patience=5, on="validation")
    ended = ensemble.run(
        0, 200, X[:8], Y[:8], validation={"x": X[8:], "y": Y[8:]}, early_stopping=rule,
        callbacks=lambda progress: progress.step >= 100,
    )  # fmt: skip
    found |= {"stopped": ended.params["w_auto_loc"], "seen": ended.validation.log_density}
    vi = EnsembleVI(model, AutoNormal, optax.adam(0.05), MEMBERS, kl_weight=0.5, **where)
    found["vi"] = vi.run(0, STEPS, X, Y, progress_bar=False).params["w_auto_loc"]
    modes = EnsembleMAP(log_joint, start, optax.adam(0.1), MEMBERS, **where)
    ran = modes.run(0, STEPS, X, Y, batch_size=BATCH, progress_bar=False)
    found |= {"map": ran.params, "map losses": ran.losses}
    chains = EnsembleMCMC(NUTS(model), 20, 10, MEMBERS, **where)
    found["nuts"] = chains.run(0, X, Y, progress_bar=False).samples["w"]
    found["stream"] = streamed(where).params["w_auto_loc"]
    return {name: _processes.whole(value) for name, value in found.items()}


def streamed(where):
    """Each process gives its share of the rows of each batch."""
    count, me = jax.process_count(), jax.process_index()
    own = len(X) // count
    batches = (
        (X[me * own : (me + 1) * own], Y[me * own : (me + 1) * own]) for _ in range(5)
    )
    return svi(**where).run_batches(0, batches, num_rows=len(X), progress_bar=False)


def different(where):
    """What is said if the processes are given different data."""
    other = Y + jax.process_index()
    try:
        svi(**where).run(0, STEPS, X, other, progress_bar=False)
    except ValueError as error:
        return str(error)
    return "nothing"


def one_ends(folder, where):
    """The last process is killed in the middle of a run."""

    def callback(progress):
        if jax.process_index() == jax.process_count() - 1 and progress.step >= 40:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint = Checkpoint(f"{folder}/killed.ckpt", every=10)
    svi(**where).run(
        0, 200, X, Y, batch_size=BATCH, checkpoint=checkpoint, callbacks=callback
    )


def main(case, folder, process, processes, port):
    if int(processes) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", int(processes), int(process))
    where = devices()
    if case == "minibatches":
        minibatches(folder, where)
    elif case == "one ends":
        one_ends(folder, where)
    else:
        found = everything(folder, where)
        np.savez(f"{folder}/{processes}.{process}.npz", **found)
        print(different(where))


if __name__ == "__main__":
    main(*sys.argv[1:])
