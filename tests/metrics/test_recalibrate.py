"""Mended predictions against SciPy, counting, and what is known of the simulation."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from numpyro_bayeslayers.metrics import (
    coverage_by_level,
    crps_draws,
    expected_quantile_calibration_error,
    log_score,
    recalibrate,
)

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def simulated(seed, width, n=2000, s=400):
    """Predictions that are `width` times too wide, and off by half a deviation."""
    rng = np.random.default_rng(seed)
    center, scale = rng.normal(size=n), rng.uniform(0.5, 2.0, n)
    y = center + scale * (0.5 + rng.normal(size=n))
    return y, center + width * scale * rng.normal(size=(s, n))


@pytest.mark.parametrize("width", [0.6, 2.0])
def test_draws_are_right_on_new_rows(width):
    """The error of levels falls below 0.03, from above 0.1; chance alone makes 0.01.

    2,000 rows of each: 3 standard errors of the largest of 19 levels, plus the fit's.
    """
    mend = recalibrate(*simulated(0, width)[::-1])
    y, draws = simulated(1, width)
    assert expected_quantile_calibration_error(y, draws) > 0.08
    mended = mend(draws)
    assert expected_quantile_calibration_error(y, mended) < 0.03
    assert float(crps_draws(y, mended)) < float(crps_draws(y, draws))


def test_levels_are_those_found_in_the_rows():
    """Of the rows that it was fitted to: as many below a mended quantile as it says."""
    y, draws = simulated(2, 2.0, n=400)
    mended = recalibrate(draws, y)(draws)
    found = coverage_by_level(y, mended, levels=[0.5, 0.8])
    np.testing.assert_allclose(found.coverage, [0.5, 0.8], atol=0.02)


def test_the_map_is_the_inverse_of_the_frequencies():
    """Of three rows at the places 0.2, 0.6 and 0.7 a quarter lies below each, by the rank."""
    law = scipy.stats.norm
    draws = np.repeat(law.ppf((np.arange(999) + 0.5) / 999)[:, None], 3, axis=1)
    mend = recalibrate(draws, law.ppf([0.2, 0.6, 0.7]))
    found = mend.level(np.array([0.125, 0.25, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(found, [0.1, 0.2, 0.6, 0.7, 1.0], atol=2e-3)


def test_draws_keep_their_order():
    """Draw by draw, rows still belong together: ranks are those of before."""
    y, draws = simulated(3, 2.0, n=300, s=50)
    mended = np.asarray(recalibrate(draws, y)(draws))
    assert (np.diff(np.take_along_axis(mended, draws.argsort(0), 0), axis=0) >= 0).all()


def test_right_predictions_stay():
    """Mended draws of right predictions move by the noise of the levels: 0.02 of 2,000 rows."""
    rng = np.random.default_rng(4)
    y, draws = rng.normal(size=2000), rng.normal(size=(500, 2000))
    mend = recalibrate(draws, y)
    np.testing.assert_allclose(mend.level(LEVELS), LEVELS, atol=0.05)


def test_quantiles_are_right_on_new_rows():
    held_out, new = simulated(5, 2.0), simulated(6, 2.0)
    quantiles = lambda draws: np.quantile(draws, LEVELS, axis=0)
    mend = recalibrate(quantiles(held_out[1]), held_out[0], levels=LEVELS)
    mended = np.asarray(mend(quantiles(new[1])))
    before = np.mean(new[0] <= quantiles(new[1]), axis=1)
    assert np.abs(before - LEVELS).max() > 0.1
    after = np.mean(new[0] <= mended, axis=1)
    np.testing.assert_allclose(after[1:-1], LEVELS[1:-1], atol=0.05)


def logits(seed, n=3000):
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, 4))
    y = (rng.uniform(size=(n, 1)) > scipy.special.softmax(z, 1).cumsum(1)).sum(1)
    return y, 2.5 * z  # too sure


def test_temperature_is_that_of_scipy():
    y, z = logits(7)
    loss = lambda t: -np.mean(scipy.special.log_softmax(z / t, 1)[np.arange(len(y)), y])
    expected = scipy.optimize.minimize_scalar(loss, bounds=(0.1, 20), method="bounded").x
    found = recalibrate(np.exp(scipy.special.log_softmax(z, 1)), y, method="temperature")
    assert found.temperature == pytest.approx(expected, rel=1e-3)
    assert found.temperature == pytest.approx(2.5, rel=0.1)


def test_temperature_betters_new_rows_and_keeps_the_class():
    probs = lambda z: scipy.special.softmax(z, 1)
    y, z = logits(8)
    mend = recalibrate(probs(z), y, method="temperature")
    y, z = logits(9)
    mended = mend(probs(z))
    np.testing.assert_allclose(mended.sum(1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(np.argmax(mended, 1), np.argmax(z, 1))
    score = lambda p: float(log_score(y, dist.Categorical(probs=np.clip(p, 1e-30, 1))))
    assert score(np.asarray(mended)) < score(probs(z))


def test_impossible_classes_stay_impossible():
    probs = np.array([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.9, 0.1, 0.0]])
    mended = recalibrate(probs, np.array([0, 0, 1]), method="temperature")(probs)
    assert np.isfinite(mended).all() and not np.asarray(mended)[:, 2].any()


def test_it_is_a_pytree():
    y, draws = simulated(10, 2.0, n=50, s=20)
    mend = recalibrate(draws, y)
    found = jax.jit(lambda m, x: m(x))(mend, draws)
    np.testing.assert_allclose(found, mend(draws), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    y, draws = simulated(11, 1.0, n=20, s=10)
    with pytest.raises(ValueError, match=r"`method` must be"):
        recalibrate(draws, y, method="platt")
    with pytest.raises(ValueError, match=r"`prediction` must have one axis before"):
        recalibrate(draws.T, y)
    with pytest.raises(
        ValueError, match=r"`quantiles` must have one row for each of the 2"
    ):
        recalibrate(draws, y, levels=[0.1, 0.9])
    with pytest.raises(ValueError, match=r"`prediction` must be probabilities"):
        recalibrate(np.ones((3, 2)), [0, 1, 1], method="temperature")
    with pytest.raises(ValueError, match=r"`levels` are for quantiles"):
        recalibrate(np.full((2, 2), 0.5), [0, 1], levels=[0.5], method="temperature")
    with pytest.raises(
        ValueError, match=r"probability zero for the class in `y` in 1 rows"
    ):
        recalibrate(np.array([[1.0, 0.0], [0.5, 0.5]]), [1, 1], method="temperature")
    with pytest.raises(ValueError, match=r"`prediction` must have an axis of draws"):
        recalibrate(draws, y)(y)
