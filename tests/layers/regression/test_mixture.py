"""Mixtures of priors: their density by SciPy, weights, where coefficients come from, errors."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed
from scipy import stats
from scipy.integrate import quad

from numpyro_bayeslayers.layers import MixtureLayer

from .draws import run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
PRIORS = dist.Normal(0.0, 0.1), dist.StudentT(4.0, 1.0, 2.0)
THEIRS = stats.norm(0.0, 0.1), stats.t(4.0, 1.0, 2.0)


@pytest.mark.parametrize("given", [None, [0.7, 0.3]])
def test_the_density_is_that_of_the_page(given):
    layer = MixtureLayer(PRIORS, given)
    out, v, sites = run(layer, X, units=2)
    np.testing.assert_allclose(out, X @ v["beta"], rtol=1e-9)
    assert list(sites) == ["a.weights", "a.beta"][given is not None :]
    weights = np.array([given, given]) if given else v["weights"]
    each = np.stack([law.pdf(v["beta"]) for law in THEIRS], -1) * weights
    found = sites["a.beta"].log_prob
    np.testing.assert_allclose(found, np.log(each.sum(-1)).sum(), rtol=1e-5)
    shares = layer.component_probabilities(v["beta"], None if given else weights)
    np.testing.assert_allclose(
        shares, each / each.sum(-1, keepdims=True), rtol=1e-4, atol=1e-6
    )


def test_the_prior_of_the_weights():
    layer = MixtureLayer(PRIORS, dist.Dirichlet(jnp.array([8.0, 2.0])))
    _, v, sites = run(layer, X, units=2)
    expected = stats.dirichlet([8.0, 2.0])
    density = sum(expected.logpdf(w / w.sum()) for w in v["weights"].astype(float))
    np.testing.assert_allclose(sites["a.weights"].log_prob, density, rtol=1e-4)


def test_the_indicator_is_summed_out():
    """One coefficient, one observation: posterior shares by quadrature of each prior's part."""
    layer = MixtureLayer(PRIORS, [0.7, 0.3])
    grid = np.linspace(-3.0, 3.0, 20001)
    likelihood = stats.norm.pdf(0.9, grid, 0.3)
    prior = sum(w * law.pdf(grid) for w, law in zip([0.7, 0.3], THEIRS, strict=True))
    posterior = prior * likelihood / np.sum(prior * likelihood)
    shares = np.asarray(layer.component_probabilities(grid[:, None, None]))[:, 0, 0]
    parts = [
        w
        * quad(lambda b, p=law: p.pdf(b) * stats.norm.pdf(0.9, b, 0.3), -8, 8, points=[0])[
            0
        ]
        for w, law in zip([0.7, 0.3], THEIRS, strict=True)
    ]
    np.testing.assert_allclose(posterior @ shares, np.array(parts) / sum(parts), rtol=1e-3)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: MixtureLayer(PRIORS[:1]), ValueError, "`priors` must be two"),
        (lambda: MixtureLayer(PRIORS[0]), TypeError, "`priors` must be a sequence"),
        (lambda: MixtureLayer([*PRIORS, dist.Normal]), TypeError, "`priors`.* number 2"),
        (lambda: MixtureLayer([PRIORS[0], dist.HalfNormal(1.0)]), ValueError, "real line"),
        (lambda: MixtureLayer(PRIORS, [0.5, 0.6]), ValueError, "`weights` must sum to one"),
        (
            lambda: MixtureLayer(PRIORS, [1.5, -0.5]),
            ValueError,
            "`weights` must be positive",
        ),
        (lambda: MixtureLayer(PRIORS, [1.0]), ValueError, "`weights` must be one for each"),
        (
            lambda: MixtureLayer(PRIORS, dist.Beta(1.0, 1.0)),
            ValueError,
            "must be a Dirichlet",
        ),
        (
            lambda: MixtureLayer(PRIORS).component_probabilities(np.ones((3, 1))),
            ValueError,
            "`weights` must be the draws",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call()
