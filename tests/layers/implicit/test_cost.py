"""What XLA is asked to do for sixteen members, against one network that sees as many rows."""

import jax
import jax.numpy as jnp
import pytest
from numpyro.handlers import seed, substitute, trace

from numpyro_bayeslayers import layers

WIDTH, ROWS, MEMBERS = 256, 128, 16


def flops(make, x, is_gradient):
    """Floating-point operations of two layers, or of their gradient by sites and input."""
    first, second = make("first"), make("second")

    def network(x):
        return second(jnp.tanh(first(x)))

    def values(x):
        return {n: s["value"] for n, s in trace(seed(network, 0)).get_trace(x).items()}

    def loss(values, x):
        return jnp.sum(seed(substitute(network, data=values), 0)(x) ** 2)

    args = jax.eval_shape(values, x), x
    program = jax.grad(loss, (0, 1)) if is_gradient else loss
    return jax.jit(program).lower(*args).cost_analysis()["flops"]


@pytest.mark.parametrize("kind", ["DenseBatchEnsemble", "DenseRank1"])
@pytest.mark.parametrize(("is_gradient", "products"), [(False, 2), (True, 6)])
def test_members_cost_little_more_than_one_network(kind, is_gradient, products):
    member_layer = getattr(layers, kind)
    one = flops(
        lambda n: layers.DenseReparameterization(WIDTH, WIDTH, name=n),
        jax.ShapeDtypeStruct((ROWS, WIDTH), jnp.float32),
        is_gradient,
    )
    many = flops(
        lambda n: member_layer(WIDTH, WIDTH, MEMBERS, name=n),
        jax.ShapeDtypeStruct((MEMBERS, ROWS // MEMBERS, WIDTH), jnp.float32),
        is_gradient,
    )
    assert one >= products * 2 * ROWS * WIDTH * WIDTH
    assert many < 1.05 * one
