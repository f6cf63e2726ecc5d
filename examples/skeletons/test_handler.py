"""Inputs pulled in: the value, the sites, gradient estimators outside of it, what is refused."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import replay, seed, trace

from examples.skeletons.handler import winsorize
from numpyro_bayeslayers.handlers import flipout
from numpyro_bayeslayers.layers import DenseReparameterization
from numpyro_bayeslayers.primitives import Lookup, linear

LAYER = DenseReparameterization(2, 1, name="f")
X = jnp.array([[1.0, -50.0], [7.0, 0.5]])
PULLED_IN = jnp.array([[1.0, -3.0], [3.0, 0.5]])


def test_is_the_model_at_inputs_pulled_in():
    found = seed(winsorize(LAYER, 3.0), 0)(X)
    np.testing.assert_allclose(found, seed(LAYER, 0)(PULLED_IN), rtol=1e-6)


def test_leaves_sites_and_look_ups_alone():
    plain = trace(seed(LAYER, 0)).get_trace(X)
    assert list(trace(seed(winsorize(LAYER, 3.0), 0)).get_trace(X)) == list(plain)

    def model(index):
        return linear(index, jnp.arange(10.0)[:, None], op=Lookup())

    assert winsorize(model, 3.0)(jnp.array([9]))[0, 0] == 9.0


def test_estimators_outside_see_the_inputs_that_were_pulled_in():
    def guide():
        numpyro.sample("f.weight", dist.Normal(0.0, 1.0).expand([2, 1]).to_event(2))
        numpyro.sample("f.bias", dist.Normal(0.0, 1.0).expand([1]).to_event(1))

    drawn = trace(seed(guide, 0)).get_trace()

    def output(model, x):
        """As in an ELBO, where the model runs against the guide's draws."""
        return seed(replay(model, trace=drawn), 1)(x)

    estimated = output(flipout(LAYER), PULLED_IN)
    np.testing.assert_allclose(
        output(flipout(winsorize(LAYER, 3.0)), X), estimated, rtol=1e-6
    )
    assert not np.allclose(estimated, output(LAYER, PULLED_IN))


def test_refuses_a_bound_of_zero():
    with pytest.raises(ValueError, match=r"`bound` must be positive and finite, got 0\.0"):
        winsorize(LAYER, 0.0)
