"""What XLA is asked to do for sixteen members, against one network that sees as many rows."""

import jax
import jax.numpy as jnp
import pytest
from numpyro.handlers import seed, substitute, trace

from numpyro_bayeslayers import layers

WIDTH, ROWS, MEMBERS = 256, 128, 16


def flops(make, x):
    """Floating-point operations of the value and the gradient of two layers."""
    first, second = make("first"), make("second")

    def network(x):
        return second(jnp.tanh(first(x)))

    def values(x):
        return {n: s["value"] for n, s in trace(seed(network, 0)).get_trace(x).items()}

    def loss(values, x):
        return jnp.sum(seed(substitute(network, data=values), 0)(x) ** 2)

    args = jax.eval_shape(values, x), x
    return jax.jit(jax.value_and_grad(loss)).lower(*args).cost_analysis()["flops"]


@pytest.mark.parametrize("kind", ["DenseBatchEnsemble", "DenseRank1"])
def test_members_cost_little_more_than_one_network(kind):
    member_layer = getattr(layers, kind)
    one = flops(
        lambda n: layers.DenseReparameterization(WIDTH, WIDTH, name=n),
        jax.ShapeDtypeStruct((ROWS, WIDTH), jnp.float32),
    )
    many = flops(
        lambda n: member_layer(WIDTH, WIDTH, MEMBERS, name=n),
        jax.ShapeDtypeStruct((MEMBERS, ROWS // MEMBERS, WIDTH), jnp.float32),
    )
    assert one > 6 * 2 * ROWS * WIDTH * WIDTH * 0.8  # what is counted are the products
    assert many < 1.05 * one
