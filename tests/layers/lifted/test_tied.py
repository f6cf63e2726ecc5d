"""One weight twice in a lifted module: right by itself, refused by gradient estimators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import Trace_ELBO

from numpyro_bayeslayers.handlers import flipout, local_reparameterization
from numpyro_bayeslayers.layers import lift

KEY = jax.random.key(0)
X = jnp.array([[0.6, 0.8, 0.0], [0.0, -0.6, 0.8]])
LINEAR = eqx.nn.Linear(3, 4, use_bias=False, key=KEY)
ESTIMATORS = (flipout, local_reparameterization)


class Shared(eqx.Module):
    """x' W' W x: one weight, applied and, transposed, applied again."""

    shared: eqx.nn.Shared

    def __init__(self):
        pair = LINEAR, eqx.nn.Linear(4, 3, use_bias=False, key=KEY)
        self.shared = eqx.nn.Shared(pair, lambda p: p[1].weight, lambda p: p[0].weight.T)

    def __call__(self, x):
        encode, decode = self.shared()
        return jnp.dot(x, decode(encode(x)))


class Penalized(eqx.Module):
    """Weights that are computed with as leaves of the module."""

    linear: eqx.nn.Linear

    def __call__(self, x):
        squares = [jnp.sum(w**2) for w in jax.tree.leaves(self.linear)]
        return jnp.sum(self.linear(x)) - sum(squares)


class Sized(eqx.Module):
    """A weight of which the shape is read, and the type."""

    linear: eqx.nn.Linear

    def __call__(self, x):
        weight = self.linear.weight
        return jnp.sum(self.linear(x).astype(weight.dtype)) / weight.shape[0]


class Inside(eqx.Module):
    """A map over positions inside of the module, with one weight for all."""

    linear: eqx.nn.Linear

    def __call__(self, x):
        return jnp.sum(jax.vmap(self.linear)(x[None] * jnp.ones((2, 1))))


def loss(module, estimator, draws):
    net = lift(module, {"*": dist.Normal(0, 1)}, name="n")
    (path,) = net.priors

    def model():
        numpyro.factor("f", jnp.sum(net(X)))

    def guide():
        numpyro.sample(f"n.{path}", dist.Normal(jnp.zeros((4, 3)), 1.0).to_event(2))

    one = lambda key: Trace_ELBO().loss(key, {}, estimator(model), guide)
    return -jax.vmap(one)(jax.random.split(KEY, draws))


def test_a_shared_weight_is_one_draw():
    """E |W x|^2 = 4 |x|^2 for W of 4 rows; 6 standard errors, false alarm below 1e-8."""
    found = loss(Shared(), lambda model: model, 4000)
    assert abs(found.mean() - 8.0) < 6 * found.std() / np.sqrt(4000)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("module", [Shared(), Penalized(LINEAR)], ids=["shared", "penalty"])
def test_estimators_refuse_a_weight_that_is_used_besides(module, estimator):
    with pytest.raises(ValueError, match=r"used twice.*the lifted module also uses it"):
        jax.eval_shape(lambda: loss(module, estimator, 1))


@pytest.mark.parametrize("module", [Sized(LINEAR), Inside(LINEAR)], ids=["shape", "map"])
def test_flipout_takes_a_weight_whose_shape_is_read_or_that_is_mapped(module):
    jax.eval_shape(lambda: loss(module, flipout, 1))  # no error, and no warning
