"""Millions of rows: what is held at once."""

import os
import subprocess
import sys

import pytest

PREDICT = """
import resource, jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
from numpyro.infer.autoguide import AutoDelta
from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.layers import DenseReparameterization

def model(x, y=None):
    h = jnp.tanh(DenseReparameterization(4, 32, name="h")(x))
    f = numpyro.deterministic("f", DenseReparameterization(32, 1, name="o")(h)[..., 0])
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 1.0), obs=y)

x = jax.random.normal(jax.random.key(0), (1_000_000, 4))
ensemble = EnsembleSVI(model, AutoDelta, optax.adam(0.01), num_members=64)
result = ensemble.run(0, 20, x, x[:, 0], batch_size=256, progress_bar=False)
draws = ensemble.predict(1, result, x, num_samples=1, return_sites=["f"])
assert draws["f"].shape == (1, 64, 1_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_a_million_rows_and_64_members():
    """Trained in minibatches and predicted: under 2 GiB at the peak, result included."""
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PREDICT],
        env=env,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < 2.0, f"{float(done.stdout):.2f} GiB"
