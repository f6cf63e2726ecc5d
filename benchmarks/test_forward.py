"""A layer's output, for every public layer."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.rows import ROWS, prepare
from tests.cases.layers import LAYERS


@pytest.mark.parametrize("name", LAYERS)
def test_forward(timed, name, size):
    apply, values, key, inputs = prepare(name, size)
    out = timed(apply, values, key, inputs, rows=ROWS[size])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(out))
