"""Effects of layers against the coefficients that they are made of."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.infer import VI, fit, layer_effects
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    InterceptLayer,
    RandomEffectsLayer,
    gaussian_link,
)

RNG = np.random.default_rng(0)
X, CITY = RNG.normal(size=(20, 2)).astype(np.float32), RNG.integers(3, size=20)


def model(x, city, y=None):
    f = InterceptLayer()("base") + AdaptiveLayer()("price", x, activation=jnp.tanh)
    f = f + RandomEffectsLayer()("city", city, 3)
    numpyro.deterministic("f", f)
    gaussian_link(f, y)


@pytest.fixture(scope="module")
def found():
    y = X[:, 0] + RNG.normal(size=20).astype(np.float32)
    return fit(model, y=y, method=VI(), num_steps=20, x=X, city=CITY, progress_bar=False)


def test_they_are_what_the_layers_gave(found):
    """Of each draw: the product with its coefficients, after the activation; the look-up."""
    draws = found.draws(all=True, num_samples=4)
    effects = layer_effects(model, draws, X, city=CITY, batch_ndims=2)
    beta, theta = draws["price.beta"][0], draws["city.theta"][0]
    expected = np.tanh(np.einsum("nd,sdu->snu", X, beta))
    np.testing.assert_allclose(effects["price"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(effects["city"], theta[:, CITY], rtol=1e-5)
    assert set(effects) == {"base", "price", "city"}


def test_of_chains_of_numpyro_and_of_tables(found):
    draws = {name: value[0] for name, value in found.draws(all=True, num_samples=3).items()}
    table = pd.DataFrame(X, columns=["a", "b"])
    effects = layer_effects(model, draws, table, CITY)
    expected = layer_effects(model, draws, X, CITY)
    np.testing.assert_array_equal(effects["price"], expected["price"])


def test_they_add_up_to_the_prediction(found):
    draws = {n: v[0] for n, v in found.draws(all=True, num_samples=2).items()}
    effects = layer_effects(model, draws, X, CITY)
    total = effects["price"] + effects["city"] + effects["base"]
    names = ("price.beta", "city.theta")
    by_hand = np.tanh(X @ draws[names[0]][1]) + draws[names[1]][1][CITY]
    base = next(v for n, v in draws.items() if n.startswith("base."))[1]
    np.testing.assert_allclose(total[1], by_hand + base, rtol=1e-4, atol=1e-5)


def hidden_input(x):
    shift = numpyro.sample("shift", dist.Normal())
    AdaptiveLayer(centered=True)("price", x + shift)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    draws = {"price.scale": np.ones((3, 1)), "price.beta": np.ones((3, 2, 1))}
    with pytest.raises(
        ValueError, match=r"`draws` must have all .* 'price' .* \['shift'\]"
    ):
        layer_effects(hidden_input, draws, X)
    layer_effects(hidden_input, draws | {"shift": np.ones(3)}, X)
    with pytest.raises(ValueError, match="`draws` must have the same 1 axes of draws"):
        layer_effects(hidden_input, draws | {"shift": np.ones(2)}, X)
    with pytest.raises(ValueError, match="`draws` must have the same 1 axes of draws"):
        layer_effects(hidden_input, {}, X)
    with pytest.raises(TypeError, match="`draws` must be a mapping"):
        layer_effects(hidden_input, [1], X)
    with pytest.raises(ValueError, match="`model` must call a regression layer"):
        layer_effects(lambda x: numpyro.sample("a", dist.Normal()), {"a": np.ones(3)}, X)
