"""The rows of the layers' benchmarks: every case of the tests, at two sizes."""

import functools

import jax
import jax.numpy as jnp
from numpyro.handlers import seed, substitute, trace

from tests.cases.implicit import AXIS
from tests.cases.layers import LAYERS

ROWS = {"small": 100, "large": 10_000}


@functools.cache  # for the outputs and for the gradients
def prepare(name, size):
    """The layer at fixed values of its sites, as a function, and those values with inputs.

    Inputs that a layer must know while it is traced are constants of the function.
    """
    case = LAYERS[name]
    layer = case.make("a")
    axis = 1 if case.excused.get("rows") == AXIS else 0  # the first one is of the members
    repeats = -(-ROWS[size] // case.inputs[0].shape[axis])
    tiled = lambda x: jnp.tile(x, [repeats if i == axis else 1 for i in range(x.ndim)])
    inputs = tuple(tiled(x) for x in case.inputs)
    sites = trace(seed(layer, 0)).get_trace(*inputs)
    values = {
        site: msg["value"]
        for site, msg in sites.items()
        if msg["type"] == "param" or (msg["type"] == "sample" and not msg["is_observed"])
    }

    constants, inputs = (inputs, ()) if "jit" in case.excused else ((), inputs)

    def apply(values, key, inputs):
        return seed(substitute(layer, data=values), key)(*constants, *inputs)

    return apply, values, jax.random.key(1), inputs
