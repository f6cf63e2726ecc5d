"""Dropout around a model that has none."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import Predictive

from numpyro_bayeslayers.handlers import mc_dropout
from numpyro_bayeslayers.layers import DenseReparameterization
from numpyro_bayeslayers.primitives import Lookup, linear

LAYER = DenseReparameterization(4, 1, name="a")
VALUES = {"a.weight": jnp.array([[1.0], [2.0], [4.0], [8.0]]), "a.bias": jnp.array([16.0])}


def test_every_output_is_a_thinned_one():
    """Inputs of one: outputs are 16 plus subset sums of the scaled weights."""
    model = seed(substitute(mc_dropout(LAYER, 0.5), VALUES), 0)
    out = np.unique(np.asarray(model(jnp.ones((400, 4)))))
    np.testing.assert_allclose(out, 16 + 2 * np.arange(16))


def test_mean_is_the_plain_output():
    """Mean of 20,000 rows within 5 standard errors (false-alarm rate 6e-7)."""
    out = seed(substitute(mc_dropout(LAYER, 0.2), VALUES), 0)(jnp.ones((20_000, 4)))
    assert abs(out.mean() - 31) < 5 * out.std() / np.sqrt(20_000)


def test_zero_rate_and_sites():
    plain = trace(seed(LAYER, 0)).get_trace(jnp.ones((3, 4)))
    dropped = trace(seed(mc_dropout(LAYER, 0.5), 0)).get_trace(jnp.ones((3, 4)))
    assert list(plain) == list(dropped)
    model = mc_dropout(LAYER, 0.0)
    np.testing.assert_array_equal(
        seed(substitute(model, VALUES), 0)(jnp.ones((3, 4))), jnp.full((3, 1), 31.0)
    )


def test_predictions_differ_between_draws():
    draws = {name: jnp.stack([value] * 3) for name, value in VALUES.items()}

    def model(x):
        numpyro.deterministic("f", LAYER(x))

    predict = Predictive(mc_dropout(model, 0.5), draws)
    out = predict(jax.random.key(0), jnp.ones((50, 4)))["f"]
    assert not np.allclose(out[0], out[1])


def test_look_ups_are_left_alone():
    def model(index):
        return linear(index, jnp.arange(6.0).reshape(3, 2), op=Lookup())

    np.testing.assert_array_equal(
        seed(mc_dropout(model, 0.5), 0)(jnp.array([2, 0])), [[4.0, 5.0], [0.0, 1.0]]
    )


def test_refuses():
    with pytest.raises(ValueError, match="`rate` must be at least 0 and below 1, got 1"):
        mc_dropout(LAYER, 1.0)
    with pytest.raises(ValueError, match="mc_dropout needs a random key"):
        substitute(mc_dropout(LAYER, 0.5), VALUES)(jnp.ones((3, 4)))
