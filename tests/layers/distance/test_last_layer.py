"""Bounds of last layers against quadrature, exact evidences and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, substitute
from numpyro.infer import Trace_ELBO
from scipy import special, stats

from numpyro_bayeslayers import infer
from numpyro_bayeslayers.basis import mean_field_logits
from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.infer.fitting._laws import LAWS, are_labels
from numpyro_bayeslayers.layers import VariationalLastLayer, VariationalLastLayerClassifier

RNG = np.random.default_rng(0)
NOISE = 0.4
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()

X = RNG.standard_normal((7, 2))
Y = RNG.standard_normal((7, 2))
LAYER = VariationalLastLayer(2, 2, prior_scale=0.8, name="f")


def model(x, y=None):
    f = LAYER(x)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", f.normal(NOISE), obs=y)


def no_sites(*args, **kwargs):
    """A guide for models whose posterior is inside."""


def bound(model, values, *args):
    return -Trace_ELBO().loss(
        jax.random.key(0), values, model, no_sites, *map(jnp.asarray, args)
    )


def test_bound_reaches_the_log_evidence_at_the_posterior():
    """Of linear regression, with a bias: at the exact posterior there is no gap."""
    phi = np.c_[X, np.ones(7)]
    cov = np.linalg.inv(phi.T @ phi / NOISE**2 + np.eye(3) / 0.8**2)
    mean = cov @ phi.T @ Y / NOISE**2
    values = {
        "f.weight_loc": mean[:2],
        "f.bias_loc": mean[2],
        "f.scale_tril": np.stack([np.linalg.cholesky(cov)] * 2),
    }
    marginal = 0.8**2 * phi @ phi.T + NOISE**2 * np.eye(7)
    evidence = stats.multivariate_normal(np.zeros(7), marginal).logpdf(Y.T).sum()
    assert bound(model, values, X, Y) == pytest.approx(evidence, rel=1e-5)
    # Anywhere else it is below.
    values["f.bias_loc"] = mean[2] + 0.1
    assert bound(model, values, X, Y) < evidence - 1e-3


def one_weight(x, y=None):
    f = VariationalLastLayer(1, 1, False, prior_scale=0.8, name="f")(x)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", f.normal(NOISE), obs=y)


def test_bound_is_that_of_quadrature():
    x, y, m, s = X[:, :1], Y[:, 0], 0.7, 0.5
    w = m + s * NODES
    fit = (WEIGHTS * stats.norm(x * w, NOISE).logpdf(y[:, None])).sum()
    divergence = WEIGHTS @ (stats.norm(m, s).logpdf(w) - stats.norm(0, 0.8).logpdf(w))
    values = {"f.weight_loc": np.full((1, 1), m), "f.scale_tril": np.full((1, 1, 1), s)}
    assert bound(one_weight, values, x, y) == pytest.approx(fit - divergence, rel=1e-5)


def test_predictive_law_is_that_of_quadrature_and_of_draws():
    """Draws: a Kolmogorov-Smirnov test at 1e-4, of a fixed key."""
    m, s = 0.7, 0.5
    values = {
        "f.weight_loc": jnp.full((1, 1), m),
        "f.scale_tril": jnp.full((1, 1, 1), s),
    }
    layer = VariationalLastLayer(1, 1, False, prior_scale=0.8, name="f")
    f = seed(substitute(layer, values), 0)(X[:, :1])
    at = np.linspace(-2, 2, 7)
    dense = stats.norm(X[:, :1] * (m + s * NODES), NOISE).pdf(at[:, None])
    found = np.exp(f.predictive(NOISE).log_prob(at))
    np.testing.assert_allclose(found, dense @ WEIGHTS, rtol=2e-5)
    draws = np.asarray(f.normal(NOISE).sample(jax.random.key(1), (4000,)))[:, 0]
    law = stats.norm(X[0, 0] * m, np.sqrt((X[0, 0] * s) ** 2 + NOISE**2))
    assert stats.kstest(draws, law.cdf).pvalue > 1e-4


CLASSES = VariationalLastLayerClassifier(2, 3, prior_scale=0.8, name="f")


def classes(x, y=None):
    f = CLASSES(x)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", f.categorical(), obs=y)


def test_bound_of_classes_is_below_the_mean_log_probability():
    """By 100,000 draws of the weights; by at most half of the largest variance of a logit."""
    labels = np.arange(7) % 3
    phi = np.c_[X, np.ones(7)]
    mean = RNG.standard_normal((3, 3))
    for scale in (0.5, 0.05):
        tril = scale * (np.eye(3) + np.tril(RNG.standard_normal((3, 3, 3)) / 3, -1))
        values = {"f.weight_loc": mean[:2], "f.bias_loc": mean[2], "f.scale_tril": tril}
        f = seed(substitute(CLASSES, jax.tree.map(jnp.asarray, values)), 0)(X)
        found = np.asarray(f.categorical().log_prob(labels))
        noise = np.random.default_rng(1).standard_normal((100_000, 3, 3))
        w = mean.T + np.einsum("kij,skj->ski", tril, noise)
        logits = np.einsum("ni,ski->nsk", phi, w)
        exact = special.log_softmax(logits, -1)[np.arange(7), :, labels]
        error = exact.std(1) / np.sqrt(100_000)
        exact = exact.mean(1)
        assert (found < exact + 4 * error).all()
        gap = 0.5 * np.asarray(f.var).max(-1)
        assert (found > exact - gap - 4 * error).all()


def test_draws_of_classes_have_the_mean_probabilities():
    """Of two classes against quadrature; 20,000 draws, five standard errors."""
    f = VariationalLastLayerClassifier(1, 2, False, name="f")
    values = {
        "f.weight_loc": jnp.array([[1.0, -0.5]]),
        "f.scale_tril": jnp.array([[[1.2]], [[0.7]]]),
    }
    law = seed(substitute(f, values), 0)(jnp.ones((1, 1))).categorical()
    draws = np.asarray(law.sample(jax.random.key(0), (20_000,)))
    exact = WEIGHTS @ special.expit(-1.5 + np.hypot(1.2, 0.7) * NODES)
    assert abs(draws.mean() - exact) < 5 * np.sqrt(exact * (1 - exact) / 20_000)


def test_members_of_an_ensemble_reach_the_evidence_by_training():
    """Without a site in the guide, and with parameters of each member."""
    x, y = jnp.asarray(X[:, :1]), jnp.asarray(Y[:, 0])
    svi = EnsembleSVI(one_weight, no_sites, optax.adam(0.05), num_members=2)
    result = svi.run(jax.random.key(0), 300, x, y, progress_bar=False)
    marginal = 0.8**2 * X[:, :1] @ X[:, :1].T + NOISE**2 * np.eye(7)
    evidence = stats.multivariate_normal(np.zeros(7), marginal).logpdf(Y[:, 0])
    np.testing.assert_allclose(result.losses[:, -1], -evidence, rtol=1e-3)


def test_noise_of_the_wrong_shape_is_refused():
    f = seed(LAYER, 0)(X)
    with pytest.raises(ValueError, match="`noise_scale` must be one number or broadcast"):
        f.normal(np.ones(7))
    with pytest.raises(ValueError, match="`noise_scale` must be positive"):
        f.predictive(-1.0)
    assert f.normal(np.ones((7, 1))).event_shape == (2,)
    assert isinstance(f.predictive(1.0), dist.Independent)


def test_fit_scores_by_the_predictive_law_and_knows_classes():
    """The functions that `Fit.log_density` and `Fit.predict` ask of a law."""
    f = seed(LAYER, 0)(X)
    msg = {"name": "y", "fn": f.normal(NOISE), "value": jnp.asarray(Y)}
    exact = stats.norm(f.mean, np.sqrt(f.var + NOISE**2)).logpdf(Y).sum(-1)
    np.testing.assert_allclose(LAWS["density"](msg), exact, rtol=1e-4)
    masked = msg | {"fn": msg["fn"].mask(jnp.arange(7) > 2)}
    expected = np.where(np.arange(7) > 2, exact, 0.0)
    np.testing.assert_allclose(LAWS["density"](masked), expected, rtol=1e-4)
    g = seed(CLASSES, 0)(X)
    assert are_labels(g.categorical())
    p = LAWS["probabilities"]({"name": "y", "fn": g.categorical()})
    np.testing.assert_allclose(p, special.softmax(mean_field_logits(*g), -1), rtol=1e-5)


@pytest.mark.slow
def test_fit_predicts_classes():
    x = np.random.default_rng(4).standard_normal((30, 2))
    y = np.argmax(x @ np.array([[3.0, -3.0, 0.0], [0.0, 0.0, 1.0]]), -1)
    found = infer.fit(
        classes,
        y=y,
        x=x,
        method=infer.VI(guide=no_sites),
        num_steps=1500,
        progress_bar=False,
    )
    predicted = found.predict(x=x, num_samples=300)
    assert predicted.probabilities.shape == (30, 3)
    assert (np.asarray(predicted.mode) == y).mean() > 0.8
    inside = np.asarray(found.log_density(y=y, x=x))
    assert inside.mean() > -0.7
