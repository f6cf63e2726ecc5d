"""Dropout around a model that has none."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import Predictive
from numpyro.infer.autoguide import AutoDelta

from numpyro_bayeslayers.handlers import mc_dropout
from numpyro_bayeslayers.infer import EnsembleSVI
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


def test_shared_masks_are_the_same_in_all_rows():
    """A draw is one function: rows that are alike stay so, and other draws are others."""
    model = substitute(mc_dropout(LAYER, 0.5, shared=True), VALUES)
    draws = np.stack([np.asarray(seed(model, k)(jnp.ones((5, 4))))[:, 0] for k in range(8)])
    assert (draws == draws[:, :1]).all()
    assert len(np.unique(draws[:, 0])) > 2
    inside = (draws[:, 0] - 16) / 2
    assert (inside == inside.round()).all() and (inside >= 0).all() and (inside < 16).all()


def test_shared_masks_have_plates_of_their_own():
    """Inputs of two cells: each has one mask for its rows."""
    x = jnp.ones((2, 5, 4))
    masked = seed(mc_dropout(lambda x: linear(x, jnp.eye(4)), 0.5, shared=True), 3)(x)
    assert (masked == masked[:, :1]).all()
    assert (masked[0, 0] != masked[1, 0]).any()


def test_blocks_of_rows_have_the_masks_of_the_whole():
    """Of predictions: the rows of one draw, cut or not, are of one function."""

    def model(x, y=None):
        f = numpyro.deterministic("f", LAYER(x)[:, 0])
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(f, 1.0), obs=y)

    fit = EnsembleSVI(
        mc_dropout(model, 0.5, shared=True), AutoDelta, optax.sgd(0.0), num_members=1
    )
    x = np.ones((4, 4))
    result = fit.run(0, 1, x, np.zeros(4), progress_bar=False)
    for batch_size in (None, 2):
        how = {"num_samples": 6, "return_sites": ["f"], "batch_size": batch_size}
        f = np.asarray(fit.predict(1, result, x, **how)["f"])[:, 0]
        assert (f == f[:, :1]).all()
        assert len(np.unique(f[:, 0])) > 1


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
