"""Places of measurements in their predictions, and coverage, against SciPy and counting."""

import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

from numpyro_bayeslayers.metrics import (
    coverage_by_level,
    expected_quantile_calibration_error,
    maximum_quantile_calibration_error,
    pit,
)

RNG = np.random.default_rng(6)
Y = RNG.normal(size=40)


def test_of_a_distribution_is_its_cdf():
    found = pit(Y, dist.Normal(np.full(40, 0.3), 2.0))
    np.testing.assert_allclose(found, scipy.stats.norm.cdf(Y, 0.3, 2.0), rtol=1e-5)


def test_of_draws_is_uniform_however_few_they_are():
    """Kolmogorov's test of 20,000 rows by 4 draws: a chance of 1e-6 of a false alarm."""
    rng = np.random.default_rng(7)
    u = pit(rng.normal(size=20_000), rng.normal(size=(4, 20_000)), seed=1)
    assert scipy.stats.kstest(np.asarray(u), "uniform").pvalue > 1e-6


def test_of_draws_without_a_seed_is_the_middle():
    draws = RNG.normal(size=(9, 40))
    expected = ((draws < Y).sum(0) + 0.5) / 10
    np.testing.assert_allclose(pit(Y, draws), expected, rtol=1e-6)


@pytest.mark.parametrize("by_draws", [False, True])
def test_of_counts_is_uniform_by_chance(by_draws):
    """Of Poisson counts with means below one, most of which are zero; a chance of 1e-6."""
    rng = np.random.default_rng(8)
    rate = rng.uniform(0.2, 3.0, 20_000)
    y = rng.poisson(rate)
    prediction = rng.poisson(rate, (30, 20_000)) if by_draws else dist.Poisson(rate)
    u = np.asarray(pit(y, prediction, seed=0))
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-6


def test_coverage_is_that_of_quantiles():
    """Of 999 draws the interval's bounds are order statistics: no row is between them."""
    draws = RNG.normal(size=(999, 40))
    found = coverage_by_level(Y, draws, levels=[0.5, 0.9])
    for level, coverage in zip((0.5, 0.9), found.coverage, strict=True):
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        assert coverage == pytest.approx(np.mean((low <= Y) & (high >= Y)), abs=1e-6)
    np.testing.assert_allclose(
        found.standard_error, np.sqrt([0.25 / 40, 0.09 / 40]), rtol=1e-5
    )


def test_right_predictions_cover_what_they_say():
    """10,000 rows, 19 levels: 5 standard errors, a chance of 1e-5 of a false alarm."""
    rng = np.random.default_rng(9)
    scale = rng.uniform(0.5, 3.0, 10_000)
    found = coverage_by_level(
        scale * rng.normal(size=10_000), dist.Normal(np.zeros(10_000), scale)
    )
    assert (np.abs(found.coverage - found.levels) < 5 * found.standard_error).all()


def test_quantile_calibration_errors_are_counted():
    levels = np.array([0.2, 0.5, 0.7])
    law = dist.Normal(np.full(40, 0.8), 1.5)
    frequency = [(scipy.stats.norm.ppf(p, 0.8, 1.5) >= Y).mean() for p in levels]
    gap = np.abs(np.array(frequency) - levels)
    found = expected_quantile_calibration_error(Y, law, levels=levels)
    assert found == pytest.approx(gap.mean(), abs=1e-6)
    found = maximum_quantile_calibration_error(Y, law, levels=levels)
    assert found == pytest.approx(gap.max(), abs=1e-6)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    counts = RNG.poisson(2.0, (5, 40))
    with pytest.raises(ValueError, match=r"`seed` must be given for predictions of counts"):
        pit(RNG.poisson(2.0, 40), counts)
    with pytest.raises(ValueError, match=r"`seed` must be given for predictions of counts"):
        pit(np.arange(3), dist.Poisson(np.ones(3)))
    with pytest.raises(
        ValueError, match=r"`prediction` must have one axis before those of `y`"
    ):
        pit(Y, counts[:, :3])
    with pytest.raises(ValueError, match=r"`levels` must be probabilities"):
        coverage_by_level(Y, dist.Normal(0.0, 1.0), levels=[0.5, 1.0])
    with pytest.raises(TypeError, match=r"`y` must hold real numbers"):
        pit(np.array(["2024-01-01"], "M8[D]"), np.zeros((3, 1)))
