"""The score of negative binomial predictions against sums and scoringrules."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import scoringrules

from numpyro_bayeslayers.metrics import crps_negative_binomial


def by_sum(y, mean, size):
    """The sum of (F(k) - 1[y <= k])^2 over all counts that matter, in double precision."""
    law = scipy.stats.nbinom(size, size / (size + mean))
    k = np.arange(int(max(law.isf(1e-14), y)) + 2)
    return np.sum(np.where(k < y, law.cdf(k), law.sf(k)) ** 2)


@pytest.mark.parametrize("mean", [0.01, 1.0, 40.0])
@pytest.mark.parametrize("size", [0.02, 1.0, 30.0, 1e5])
def test_is_the_sum_over_counts(mean, size):
    y = np.array([0.0, 1.0, 7.0, 120.0])
    expected = [by_sum(v, mean, size) for v in y]
    one = np.ones(4)
    found = crps_negative_binomial(y, mean * one, size * one, average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


def test_is_that_of_scoringrules():
    y, mean, size = (
        np.array([3.0, 0.0, 9.0]),
        np.array([2.0, 4.0, 5.0]),
        np.array([2.0, 5.0, 9.0]),
    )
    expected = scoringrules.crps_negbinom(y, size, size / (size + mean))
    found = crps_negative_binomial(y, mean, size, average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [2.0, 1e3, 1e9])
def test_large_counts_keep_their_digits(size):
    """At a mean of a million: by the sum over counts, in steps where it is smooth."""
    mean = 1e6
    law = scipy.stats.nbinom(size, size / (size + mean))
    std = law.std()
    for z in (-1.0, 0.0, 2.5):
        y = np.floor(mean + z * std)
        # Gauss-Legendre over the counts, which lie close to each other.
        total = 0.0
        for lo, hi in ((0.0, y), (y, mean + 60 * std)):
            nodes, weights = np.polynomial.legendre.leggauss(400)
            lo = max(lo, mean - 60 * std)
            x = lo + (hi - lo) * (nodes + 1) / 2
            square = (
                np.where(x < y, law_cdf(x, mean, size), 1 - law_cdf(x, mean, size)) ** 2
            )
            total += np.sum(weights * square) * (hi - lo) / 2
        one = np.ones(1)
        found = crps_negative_binomial(y * one, mean * one, size * one, average=False)
        assert found[0] == pytest.approx(total, rel=5e-3)


def law_cdf(x, mean, size):
    """The distribution function between counts, half a count on."""
    return scipy.special.betainc(size, x + 0.5, size / (size + mean))


def test_many_counts_are_those_of_poisson():
    """A large concentration is Poisson's law, whose score scoringrules has."""
    y, mean = np.array([0.0, 5.0, 30.0]), np.array([3.0, 3.0, 20.0])
    found = crps_negative_binomial(y, mean, np.full(3, 1e7), average=False)
    np.testing.assert_allclose(found, scoringrules.crps_poisson(y, mean), rtol=1e-4)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    one = np.ones(2)
    with pytest.raises(ValueError, match=r"`y` must hold counts.* got 1 other values"):
        crps_negative_binomial(np.array([0.5, 1.0]), one, one)
    with pytest.raises(ValueError, match=r"`mean` must be positive"):
        crps_negative_binomial(one, 0 * one, one)
    with pytest.raises(ValueError, match=r"`concentration` must be positive"):
        crps_negative_binomial(one, one, -one)
