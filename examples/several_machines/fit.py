"""An ensemble over the devices of several processes, which are all started with this program.

Alone: python examples/several_machines/fit.py
Two processes of this machine, on the CPU:
    python examples/several_machines/fit.py --processes 2 --process 0 &
    python examples/several_machines/fit.py --processes 2 --process 1
Under SLURM: srun python examples/several_machines/fit.py --cluster
"""

import argparse
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jax.experimental import multihost_utils
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import Checkpoint, EnsembleSVI


def model(x: Any, y: Any = None) -> None:
    """A linear regression."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def main() -> None:
    """Fit eight members for each device, and say what they have found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--coordinator", default="127.0.0.1:12355")
    parser.add_argument("--cluster", action="store_true", help="ask the cluster for these")
    parser.add_argument("--checkpoint", help="a file in a folder that all machines see")
    asked = parser.parse_args()
    # Before anything is computed.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # without a GPU
    if asked.cluster:
        jax.distributed.initialize()
    elif asked.processes > 1:
        jax.distributed.initialize(asked.coordinator, asked.processes, asked.process)

    x = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    y = x @ np.array([1.0, -2.0], np.float32)
    count = len(jax.devices())
    mesh = jax.make_mesh((count,), ("ensemble",))
    optim = optax.adam(0.05)
    ensemble = EnsembleSVI(model, AutoNormal, optim, num_members=8 * count, mesh=mesh)
    checkpoint = Checkpoint(asked.checkpoint, every=100) if asked.checkpoint else None
    result = ensemble.run(0, 500, x, y, batch_size=100, checkpoint=checkpoint)
    loc = result.params["w_auto_loc"]
    if jax.process_count() > 1:
        loc = multihost_utils.process_allgather(loc, tiled=True)
    if jax.process_index() == 0:
        print(f"{len(loc)} members on {count} devices: {np.asarray(loc).mean(0).round(2)}")


if __name__ == "__main__":
    main()
