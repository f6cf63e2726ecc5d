"""The rows of the layers' benchmarks: every case of the tests, at two sizes."""

import jax
import jax.numpy as jnp
from numpyro.handlers import seed, substitute, trace

from tests.cases.layers import LAYERS

ROWS = {"small": 100, "large": 10_000}


def prepare(name, size):
    """The layer at fixed values of its sites, as a function, and those values with inputs."""
    case = LAYERS[name]
    layer = case.make("a")
    repeats = -(-ROWS[size] // len(case.inputs[0]))
    inputs = tuple(jnp.tile(x, (repeats,) + (1,) * (x.ndim - 1)) for x in case.inputs)
    sites = trace(seed(layer, 0)).get_trace(*inputs)
    values = {
        site: msg["value"]
        for site, msg in sites.items()
        if msg["type"] == "param" or (msg["type"] == "sample" and not msg["is_observed"])
    }

    def apply(values, key, inputs):
        return seed(substitute(layer, data=values), key)(*inputs)

    return apply, values, jax.random.key(1), inputs
