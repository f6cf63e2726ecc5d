"""The gradient of a layer's output by its sites, for every public layer that has some."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.rows import ROWS, prepare
from tests.cases.layers import LAYERS


@pytest.mark.parametrize(
    "name", [n for n, case in LAYERS.items() if "vmap" not in case.excused]
)
def test_gradient(timed, name):
    apply, values, key, inputs = prepare(name, "large")

    def loss(values, key, inputs):
        return sum(jnp.mean(y**2) for y in jax.tree.leaves(apply(values, key, inputs)))

    grads = timed(jax.grad(loss), values, key, inputs, rows=ROWS["large"])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
