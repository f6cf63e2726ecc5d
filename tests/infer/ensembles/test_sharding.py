"""Members over eight devices have the numbers of one device."""

import os
import subprocess
import sys

SCRIPT = """
import jax, numpy as np, optax
from numpyro.infer.autoguide import AutoNormal
from numpyro_bayeslayers.infer import EnsembleSVI
from tests.infer.svi_problems import X, Y, model

assert len(jax.devices()) == 8
mesh = jax.make_mesh((8,), ("ensemble",))
found = []
for devices in (None, mesh):
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=16, mesh=devices)
    result = ensemble.run(jax.random.key(0), 20, X, Y, batch_size=5, progress_bar=False)
    draws = ensemble.predict(jax.random.key(1), result, X, num_samples=3)
    found.append((result.params, result.losses, draws))
spread = found[1][0]["w_auto_loc"].sharding
assert len(spread.device_set) == 8, spread
assert spread.shard_shape((16, 2)) == (2, 2), spread
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *found)
try:
    EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=12, mesh=mesh)
except ValueError as error:
    assert "`num_members` must be a multiple of the 8 devices" in str(error)
else:
    raise AssertionError("12 members went over 8 devices")
print("same")
"""


def test_eight_devices_are_one():
    env = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "same", done.stderr[-2000:]
