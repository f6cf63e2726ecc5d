"""Losses of quantiles against scikit-learn and scoringrules."""

import numpy as np
import pytest
import scipy.stats
import scoringrules
import sklearn.metrics

from numpyro_bayeslayers.metrics import (
    crps_normal,
    interval_score,
    pinball_loss,
    weighted_interval_score,
)

RNG = np.random.default_rng(5)
Y = RNG.normal(size=15)
LEVELS = np.array([0.1, 0.5, 0.8])
QUANTILES = RNG.normal(size=(3, 15))
ALPHAS = np.array([0.1, 0.4])
MEDIAN = RNG.normal(size=15)
LOWER = MEDIAN - RNG.uniform(size=(2, 15))
UPPER = MEDIAN + RNG.uniform(size=(2, 15))


def test_pinball_is_that_of_scikit_learn():
    expected = np.mean(
        [
            sklearn.metrics.mean_pinball_loss(Y, q, alpha=p)
            for q, p in zip(QUANTILES, LEVELS, strict=True)
        ]
    )
    assert float(pinball_loss(Y, QUANTILES, LEVELS)) == pytest.approx(expected, rel=1e-5)
    each = scoringrules.quantile_score(Y[:, None], QUANTILES.T, LEVELS).mean(1)
    np.testing.assert_allclose(
        pinball_loss(Y, QUANTILES, LEVELS, average=False), each, rtol=1e-5
    )


def test_pinball_over_levels_is_half_the_crps():
    """The midpoint rule over 2,000 levels of a normal."""
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles = np.repeat(scipy.stats.norm.ppf(levels)[:, None], 3, axis=1)
    y = np.array([-1.0, 0.2, 2.0])
    found = 2 * pinball_loss(y, quantiles, levels, average=False)
    expected = crps_normal(y, np.zeros(3), np.ones(3), average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_weighted_interval_score_is_that_of_scoringrules():
    """By its interval scores: its weighted one takes the median itself for its error."""
    each = np.stack(
        [scoringrules.interval_score(Y, LOWER[i], UPPER[i], ALPHAS[i]) for i in (0, 1)], 1
    )
    expected = (0.5 * np.abs(Y - MEDIAN) + each @ (ALPHAS / 2)) / 2.5
    found = weighted_interval_score(Y, MEDIAN, LOWER, UPPER, alphas=ALPHAS, average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weighted_interval_score_is_twice_the_pinball_loss():
    levels = np.array([0.05, 0.2, 0.5, 0.8, 0.95])
    quantiles = np.stack([LOWER[0], LOWER[1], MEDIAN, UPPER[1], UPPER[0]])
    found = weighted_interval_score(Y, MEDIAN, LOWER, UPPER, alphas=ALPHAS, average=False)
    expected = 2 * pinball_loss(Y, quantiles, levels, average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_interval_scores_of_rows():
    each = interval_score(Y, LOWER[0], UPPER[0], alpha=0.1, average=False)
    expected = scoringrules.interval_score(Y, LOWER[0], UPPER[0], 0.1)
    np.testing.assert_allclose(each, expected, rtol=1e-5)
    mean = interval_score(Y, LOWER[0], UPPER[0], alpha=0.1)
    assert mean == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(
        ValueError, match=r"`levels` must be probabilities .* small to large"
    ):
        pinball_loss(Y, QUANTILES, LEVELS[::-1])
    with pytest.raises(
        ValueError, match=r"a row for each of the 2|one row for each of the 2"
    ):
        pinball_loss(Y, QUANTILES, LEVELS[:2])
    with pytest.raises(ValueError, match=r"`lower` must be at most `upper`, got 30 bounds"):
        weighted_interval_score(Y, MEDIAN, UPPER, LOWER, alphas=ALPHAS)
    with pytest.raises(ValueError, match=r"`alphas` must be numbers above 0 and below 1"):
        weighted_interval_score(Y, MEDIAN, LOWER, UPPER, alphas=[0.1, 1.0])
    with pytest.raises(ValueError, match=r"`lower` must have one row for each of the 1"):
        weighted_interval_score(Y, MEDIAN, LOWER, UPPER, alphas=[0.1])
    with pytest.raises(ValueError, match=r"`median`"):
        weighted_interval_score(Y, MEDIAN[:3], LOWER, UPPER, alphas=ALPHAS)
