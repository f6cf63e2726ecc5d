"""The distributions behind the likelihoods: their draws, and digits where numbers are large."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

from numpyro_bayeslayers.distributions._angle import PreciseVonMises
from numpyro_bayeslayers.distributions._bounded import Censored, Truncated
from numpyro_bayeslayers.distributions._counts import LogNegativeBinomial, LogPoisson
from numpyro_bayeslayers.distributions._ends import BetaWithEnds
from numpyro_bayeslayers.distributions._hurdle import Hurdle
from numpyro_bayeslayers.distributions._positive import InverseGaussian, MeanGamma
from numpyro_bayeslayers.distributions._proportions import PreciseBeta
from numpyro_bayeslayers.distributions._trials import LogitBinomial, MeanBetaBinomial

KEY = jax.random.key(0)
CONTINUOUS = {
    "gamma": (MeanGamma(0.5, 0.7), scipy.stats.gamma(0.7, scale=np.exp(0.5) / 0.7)),
    "inverse gaussian": (
        InverseGaussian(0.5, 0.7),
        scipy.stats.invgauss(np.exp(0.5) / 0.7, scale=0.7),
    ),
    "normal above": (
        Truncated(dist.Normal(1.0, 2.0), 5.0),
        scipy.stats.truncnorm(2, np.inf, 1, 2),
    ),
    "normal within": (
        Truncated(dist.Normal(1.0, 2.0), -9.0, -8.0),
        scipy.stats.truncnorm(-5, -4.5, 1, 2),
    ),
    "exponential below": (
        Truncated(dist.Exponential(0.5), None, 3.0),
        scipy.stats.truncexpon(1.5, scale=2.0),
    ),
}
COUNTS = {
    "binomial": (LogitBinomial(-0.4, 7), scipy.stats.binom(7, 1 / (1 + np.exp(0.4))).pmf),
    "beta-binomial": (
        MeanBetaBinomial(0.0, 1.5, 7),
        scipy.stats.betabinom(7, 0.75, 0.75).pmf,
    ),
    "hurdle": (
        Hurdle(LogPoisson(0.3), 0.2),
        lambda k: above_zero(k, 0.2, scipy.stats.poisson(np.exp(0.3))),
    ),
    "hurdle negative binomial": (
        Hurdle(LogNegativeBinomial(0.3, 0.4), 0.2),
        lambda k: above_zero(k, 0.2, scipy.stats.nbinom(0.4, 0.4 / (0.4 + np.exp(0.3)))),
    ),
    "poisson within": (
        Truncated(LogPoisson(0.3), 2.0, 4.0),
        lambda k: within(k, scipy.stats.poisson(np.exp(0.3)), 2, 4),
    ),
}


def above_zero(k, gate, law):
    return np.where(k == 0, gate, (1 - gate) * law.pmf(k) / law.sf(0))


def within(k, law, low, high):
    inside = (k >= low) & (k <= high)
    return inside * law.pmf(k) / law.pmf(np.arange(low, high + 1)).sum()


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_draws(name):
    """Kolmogorov-Smirnov of 10,000 draws: a false alarm in 10,000 keys."""
    fn, law = CONTINUOUS[name]
    draws = np.asarray(jax.jit(lambda key: fn.sample(key, (10_000,)))(KEY))
    assert scipy.stats.kstest(draws, law.cdf).pvalue > 1e-4
    at = jnp.asarray(law.ppf([0.01, 0.3, 0.9]), jnp.float32)
    np.testing.assert_allclose(fn.log_prob(at), law.logpdf(at), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    """A chi-squared test of 2,000 draws: a false alarm in 10,000 keys; and the moments."""
    fn, mass = COUNTS[name]
    draws = np.asarray(jax.jit(lambda key: fn.sample(key, (2_000,)))(KEY))
    k = np.arange(400)
    expected = 2_000 * mass(k)
    np.testing.assert_allclose(
        jnp.exp(fn.log_prob(k[:8])), mass(k[:8]), rtol=1e-4, atol=1e-6
    )
    found = np.bincount(draws.astype(int), minlength=400)
    is_some = expected >= 5
    cells = np.append(expected[is_some], expected[~is_some].sum())
    counts = np.append(found[is_some], found[~is_some].sum())
    some = cells > 1e-6
    assert scipy.stats.chisquare(counts[some], cells[some]).pvalue > 1e-4
    if not isinstance(fn, Truncated):
        moment = [(k**p * mass(k)).sum() for p in (1, 2)]
        np.testing.assert_allclose(fn.mean, moment[0], rtol=1e-4)
        np.testing.assert_allclose(fn.variance, moment[1] - moment[0] ** 2, rtol=1e-3)


def test_ends():
    """Shares of zeros and ones, and the moments: 5 standard errors of 10,000 draws."""
    fn = BetaWithEnds(PreciseBeta(2.0, 3.0), np.log(0.2), np.log(0.3), np.log(0.5))
    draws = np.asarray(fn.sample(KEY, (10_000,)))
    assert abs((draws == 0).mean() - 0.2) < 5 * 0.004
    assert abs((draws == 1).mean() - 0.3) < 5 * 0.0046
    assert abs(draws.mean() - fn.mean) < 5 * np.sqrt(fn.variance / 10_000)
    np.testing.assert_allclose(draws.var(), fn.variance, rtol=0.05)
    inside = draws[(draws > 0) & (draws < 1)]
    assert scipy.stats.kstest(inside, scipy.stats.beta(2, 3).cdf).pvalue > 1e-4


def test_moments_of_positive_laws():
    for name in ("gamma", "inverse gaussian"):
        fn, law = CONTINUOUS[name]
        np.testing.assert_allclose([fn.mean, fn.variance], law.stats(), rtol=1e-5)


@pytest.mark.parametrize(
    ("fn", "y", "expected"),
    [
        (
            LogitBinomial(0.4, 1e6),
            598_000.0,
            scipy.stats.binom(1_000_000, 1 / (1 + np.exp(-0.4))).logpmf(598_000),
        ),
        (
            MeanBetaBinomial(0.4, 1e5, 1000.0),
            600.0,
            scipy.stats.betabinom(
                1000, 1e5 / (1 + np.exp(-0.4)), 1e5 / (1 + np.exp(0.4))
            ).logpmf(600),
        ),
        (
            MeanGamma(0.3, 1e6),
            np.float32(np.exp(0.3) * 1.002),
            scipy.stats.gamma(1e6, scale=np.exp(np.float32(0.3)) / 1e6).logpdf(
                np.float32(np.exp(0.3) * 1.002)
            ),
        ),
        (PreciseVonMises(0.0, 1e5), np.float32(0.004), None),
    ],
    ids=["binomial", "beta-binomial", "gamma", "angle"],
)
def test_large_numbers_keep_their_digits(fn, y, expected):
    if expected is None:  # a normal, up to 1 / (8 * 1e5)
        expected = scipy.stats.norm(0, 1e5**-0.5).logpdf(y)
    np.testing.assert_allclose(fn.log_prob(y), expected, rtol=2e-3, atol=2e-3)


def test_far_tails_have_densities_and_gradients():
    """Forty deviations out, where a distribution function is zero or one."""
    density = lambda loc: Censored(dist.Normal(loc, 1.0), None, 40.0).log_prob(40.0)
    np.testing.assert_allclose(density(0.0), scipy.stats.norm.logsf(40), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(density)(0.0), 40.025, rtol=1e-4)
    of_gap = lambda loc: Truncated(dist.Normal(loc, 1.0), 40.0, 41.0).log_prob(40.01)
    expected = scipy.stats.norm.logpdf(40.01) - scipy.stats.norm.logsf(40)
    np.testing.assert_allclose(of_gap(0.0), expected, rtol=1e-3)
    assert np.isfinite(jax.grad(of_gap)(0.0))
    no_bound = lambda loc: Truncated(dist.Normal(loc, 1.0), -jnp.inf, jnp.inf).log_prob(0.5)
    np.testing.assert_allclose(no_bound(0.0), scipy.stats.norm.logpdf(0.5), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(no_bound)(0.0), 0.5, rtol=1e-4)
