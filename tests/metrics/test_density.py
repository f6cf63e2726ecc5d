"""Log scores against SciPy."""

import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.special
import scipy.stats

from numpyro_bayeslayers.metrics import log_score, log_score_draws

RNG = np.random.default_rng(3)
Y, LOC = RNG.normal(size=(2, 20)).astype(np.float32)


def test_is_the_negative_log_density():
    expected = -scipy.stats.norm(LOC, 0.7).logpdf(Y)
    found = log_score(Y, dist.Normal(LOC, 0.7), average=False)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    score = log_score(Y, dist.Normal(LOC, 0.7))
    assert float(score) == pytest.approx(expected.mean(), rel=1e-5)
    assert score.standard_error == pytest.approx(scipy.stats.sem(expected), rel=1e-4)


def test_of_classes():
    probs = np.array([[0.2, 0.8], [0.6, 0.4]])
    found = log_score(np.array([1, 1]), dist.Categorical(probs=probs), average=False)
    np.testing.assert_allclose(found, -np.log([0.8, 0.4]), rtol=1e-5)


def test_of_several_outputs():
    """One score for each row of a distribution of vectors."""
    y, cov = RNG.normal(size=(4, 2)), np.array([[1.0, 0.5], [0.5, 2.0]])
    law = dist.MultivariateNormal(np.zeros((4, 2)), cov)
    expected = -scipy.stats.multivariate_normal(np.zeros(2), cov).logpdf(y)
    np.testing.assert_allclose(log_score(y, law, average=False), expected, rtol=1e-4)


@pytest.mark.parametrize("mean", [3.0, 1e6])
def test_counts_of_millions_keep_their_digits(mean):
    """Differences of log gamma functions would be off by one."""
    y = np.floor(mean + np.sqrt(mean) * np.array([-1.0, 0.0, 2.0]))
    one = np.ones(3)
    expected = -scipy.stats.poisson(mean).logpmf(y)
    found = log_score(y, dist.Poisson(mean * one), average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    expected = -scipy.stats.nbinom(50, 50 / (50 + mean)).logpmf(y)
    found = log_score(y, dist.NegativeBinomial2(mean * one, 50.0), average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_mixture_over_draws_in_log_space():
    """At densities of e^-2000, below all numbers."""
    log_likelihood = RNG.normal(size=(7, 5)) - 2000
    expected = np.log(7) - scipy.special.logsumexp(log_likelihood, axis=0)
    found = log_score_draws(log_likelihood, average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(
        TypeError, match=r"`distribution` must be a distribution of NumPyro"
    ):
        log_score(Y, LOC)
    with pytest.raises(ValueError, match=r"the shape of `y`, \(20,\), got \(3, 20\)"):
        log_score(Y, dist.Normal(np.zeros((3, 20)), 1.0))
    with pytest.raises(ValueError, match=r"`y` must lie in the support .* got 2 rows"):
        log_score(np.array([-1.0, 1.0, -2.0]), dist.Exponential(np.ones(3)))
    with pytest.raises(ValueError, match=r"`y` has 1 entries that are NaN"):
        log_score(np.array([np.nan, 1.0]), dist.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match=r"`log_likelihood` must have an axis of draws"):
        log_score_draws(np.zeros(3))
