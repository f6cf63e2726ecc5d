"""Seconds to trace and compile deep stacks, beside the same products written by hand.

A layer costs at trace time only: the compiled programs are compared too, by their
floating-point operations.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed

from numpyro_bayeslayers.layers import DenseReparameterization

WIDTH, DEPTHS = 64, (2, 8, 16)


def layers(depth):
    def model(x):
        for i in range(depth):
            x = jnp.tanh(DenseReparameterization(WIDTH, WIDTH, name=f"l{i}")(x))
        return x

    return model


def by_hand(depth):
    prior = dist.Normal(0.0, 1.0)

    def model(x):
        for i in range(depth):
            w = numpyro.sample(f"w{i}", prior.expand([WIDTH, WIDTH]).to_event(2))
            b = numpyro.sample(f"b{i}", prior.expand([WIDTH]).to_event(1))
            x = jnp.tanh(x @ w + b)
        return x

    return model


@pytest.mark.parametrize("depth", DEPTHS)
def test_compile(compare, depth):
    """Tracing and compiling a stack of layers against the products alone."""
    x = jnp.ones((100, WIDTH))

    def lowered(make):
        model = make(depth)
        return jax.jit(lambda key, x: seed(model, key)(x)).lower(jax.random.key(0), x)

    flops = [lowered(make).compile().cost_analysis()["flops"] for make in (layers, by_hand)]
    assert flops[0] == flops[1]

    def compiled(make):
        # A fresh closure each time: nothing is taken from the cache of jit.
        return lambda: lowered(make).compile() and None

    compare(compiled(layers), compiled(by_hand), rounds=9 if depth == 2 else 3, goal=1.1)
