"""Noise of classes against quadrature and draws with a dense covariance by NumPy."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy import special

from numpyro_bayeslayers import infer
from numpyro_bayeslayers.layers import MCSigmoidDenseFA, MCSoftmaxDenseFA, categorical_link

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
X = np.random.default_rng(0).standard_normal((2, 2))
DRAWS = 20_000


def values_of(layer, seed_of=1):
    """Fixed weights, and by NumPy the mean, the deviations and the factor at `X`."""
    rng = np.random.default_rng(seed_of)
    parts, values = {}, {}
    sizes = {"loc": layer.num_classes, "scale": layer.num_classes}
    if layer.rank:
        sizes["factor"] = layer.num_classes * layer.rank
    for name, size in sizes.items():
        weight, bias = rng.standard_normal((2, size)), rng.standard_normal(size)
        values |= {
            f"f.{name}.weight": jnp.asarray(weight),
            f"f.{name}.bias": jnp.asarray(bias),
        }
        parts[name] = X @ weight + bias
    parts["scale"] = np.log1p(np.exp(parts["scale"]))
    if layer.rank:
        parts["factor"] = parts["factor"].reshape(2, layer.num_classes, layer.rank)
    return values, parts


def run(layer, values, key=0):
    return np.asarray(jax.jit(lambda x: seed(substitute(layer, values), key)(x))(X))


def dense(parts):
    """Draws of logits with the whole covariance matrix, (rows, draws, classes)."""
    rng = np.random.default_rng(2)
    rows = []
    for loc, scale, factor in zip(
        parts["loc"], parts["scale"], parts["factor"], strict=True
    ):
        cov = factor @ factor.T + np.diag(scale**2)
        rows.append(rng.multivariate_normal(loc, cov, 200_000))
    return np.stack(rows)


def error(probabilities):
    """Five standard errors of a mean of `DRAWS`, and of the oracle's 200,000."""
    return 5 * probabilities.std(1) * np.sqrt(1 / DRAWS + 1 / 200_000)


def test_softmax_is_the_mean_over_the_dense_law():
    """Five standard errors, six numbers: a false alarm in 3e5 keys."""
    layer = MCSoftmaxDenseFA(2, 3, 2, DRAWS, temperature=0.7, name="f")
    values, parts = values_of(layer)
    draws = special.softmax(dense(parts) / 0.7, -1)
    found = np.exp(run(layer, values))
    assert (abs(found - draws.mean(1)) < error(draws)).all()
    np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-5)


def test_sigmoid_is_the_mean_over_the_dense_law():
    """Five standard errors, six numbers: a false alarm in 3e5 keys."""
    layer = MCSigmoidDenseFA(2, 3, 1, DRAWS, temperature=0.7, name="f")
    values, parts = values_of(layer)
    draws = special.expit(dense(parts) / 0.7)
    assert (abs(special.expit(run(layer, values)) - draws.mean(1)) < error(draws)).all()


def test_without_a_factor_each_label_has_a_known_integral():
    """Quadrature in one dimension: labels by themselves, two classes by their difference."""
    layer = MCSigmoidDenseFA(2, 2, 0, DRAWS, name="f")
    values, parts = values_of(layer)
    draws = special.expit(parts["loc"][..., None] + parts["scale"][..., None] * NODES)
    exact = draws @ WEIGHTS
    tolerance = 5 * np.sqrt((draws - exact[..., None]) ** 2 @ WEIGHTS / DRAWS)
    assert (abs(special.expit(run(layer, values)) - exact) < tolerance).all()
    softmax = MCSoftmaxDenseFA(2, 2, 0, DRAWS, name="f")
    spread = np.hypot(*parts["scale"].T)[:, None]
    draws = special.expit((parts["loc"] @ [1, -1])[:, None] + spread * NODES)
    exact = draws @ WEIGHTS
    tolerance = 5 * np.sqrt((draws - exact[:, None]) ** 2 @ WEIGHTS / DRAWS)
    assert (abs(np.exp(run(softmax, values))[:, 0] - exact) < tolerance).all()


def test_without_noise_it_is_the_softmax():
    layer = MCSoftmaxDenseFA(2, 3, 2, 3, temperature=0.5, name="f")
    values, parts = values_of(layer)
    for name in ("scale", "factor"):
        values[f"f.{name}.weight"] = 0 * values[f"f.{name}.weight"]
        values[f"f.{name}.bias"] = 0 * values[f"f.{name}.bias"] - 50 * (name == "scale")
    expected = special.log_softmax(parts["loc"] / 0.5, -1)
    np.testing.assert_allclose(run(layer, values), expected, rtol=1e-5)


def test_noise_is_new_for_each_row_and_key():
    layer = MCSoftmaxDenseFA(2, 3, 2, 1, name="f")
    values, _ = values_of(layer)
    twice = lambda key: seed(substitute(layer, values), key)(jnp.ones((2, 2)))
    assert not np.allclose(*twice(0))
    assert not np.allclose(twice(0), twice(1))


def test_sites_and_settings():
    sites = trace(seed(MCSoftmaxDenseFA(2, 3, 0, name="f"), 0)).get_trace(X)
    assert set(sites) == {"f.loc.weight", "f.loc.bias", "f.scale.weight", "f.scale.bias"}
    with pytest.raises(ValueError, match="`rank` must be zero or positive"):
        MCSoftmaxDenseFA(2, 3, -1)


@pytest.mark.slow
def test_in_fit_by_minibatches_and_predictions():
    """Noise of a row is no part of other rows; probabilities of classes come out."""

    def model(x, y=None):
        categorical_link(MCSoftmaxDenseFA(2, 3, 1, 5, name="f")(x), y, name="y")

    x = np.random.default_rng(3).standard_normal((12, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the loss still falls
        found = infer.fit(
            model, y=np.arange(12) % 3, x=x, batch_size=6, num_steps=20, progress_bar=False
        )
    p = found.predict(x=x[:2], num_samples=50).probabilities
    np.testing.assert_allclose(p.sum(-1), 1.0, rtol=1e-5)
