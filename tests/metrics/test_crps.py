"""The continuous ranked probability score against scoringrules and double sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import scoringrules

from numpyro_bayeslayers.metrics import (
    Score,
    crps_draws,
    crps_mixture_normal,
    crps_normal,
    crps_student_t,
)

RNG = np.random.default_rng(1)
Y, LOC = RNG.normal(size=(2, 30))
SCALE, DF = RNG.uniform(0.2, 3.0, 30), RNG.uniform(1.5, 30.0, 30)
DRAWS = RNG.normal(size=(25, 30))


def rows(score):
    return np.asarray(score, float)


def test_draws_are_scored_as_by_scoringrules():
    """The fair estimator, row by row; and their mean with its standard error."""
    expected = scoringrules.crps_ensemble(Y, DRAWS.T, estimator="fair")
    found = crps_draws(Y, DRAWS, average=False)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    score = crps_draws(Y, DRAWS)
    assert isinstance(score, Score)
    assert float(score) == pytest.approx(expected.mean(), rel=1e-5)
    assert score.standard_error == pytest.approx(scipy.stats.sem(expected), rel=1e-4)


def test_few_draws_are_scored_fairly():
    """The mean over draws of the score by three of them is that of their normal.

    5 standard errors of 200,000 rows: a chance of 6e-7 of a false alarm.
    """
    draws = np.random.default_rng(2).normal(size=(3, 200_000)).astype(np.float32)
    score = crps_draws(np.full(200_000, 0.7, np.float32), draws)
    exact = scoringrules.crps_normal(0.7, 0.0, 1.0)
    assert abs(score.mean - exact) < 5 * score.standard_error


def test_normal_is_that_of_scoringrules():
    found = crps_normal(Y, LOC, SCALE, average=False)
    np.testing.assert_allclose(found, scoringrules.crps_normal(Y, LOC, SCALE), rtol=1e-5)


@pytest.mark.parametrize("far", [50.0, 1e6])
def test_far_tails_are_the_distance(far):
    """Far away the score is the distance less half the mean distance of two draws."""
    y, one = np.array([far, -far]), np.ones(2)
    expected = far - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(
        crps_normal(y, 0 * one, one, average=False), expected, rtol=1e-6
    )
    found = crps_mixture_normal(y, np.zeros((3, 2)), np.ones((3, 2)), average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_student_t_is_that_of_scoringrules():
    found = crps_student_t(Y, DF, LOC, SCALE, average=False)
    np.testing.assert_allclose(found, scoringrules.crps_t(Y, DF, LOC, SCALE), rtol=2e-5)


@pytest.mark.parametrize("df", [1.05, 3.0, 200.0])
def test_student_t_is_the_integral(df):
    """Of (F(x) - 1[y <= x])^2, by quadrature."""
    law = scipy.stats.t(df)
    for y in (0.0, 2.5):
        below = scipy.integrate.quad(lambda x: law.cdf(x) ** 2, -np.inf, y, limit=500)[0]
        above = scipy.integrate.quad(lambda x: law.sf(x) ** 2, y, np.inf, limit=500)[0]
        one = np.ones(1)
        found = crps_student_t(y * one, df * one, 0 * one, one, average=False)
        assert found[0] == pytest.approx(below + above, rel=1e-4)


def test_student_t_goes_to_the_normal():
    """At ten million degrees of freedom the beta functions keep their digits."""
    z, one = np.linspace(-4, 4, 17), np.ones(17)
    found = crps_student_t(z, 1e7 * one, 0 * one, one, average=False)
    np.testing.assert_allclose(
        found, crps_normal(z, 0 * one, one, average=False), rtol=1e-4
    )


def test_mixture_is_that_of_scoringrules():
    loc, scale = RNG.normal(size=(4, 30)), RNG.uniform(0.3, 2.0, (4, 30))
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    expected = scoringrules.crps_mixnorm(
        Y, loc.T, scale.T, np.broadcast_to(weights, (30, 4))
    )
    found = crps_mixture_normal(Y, loc, scale, weights, average=False)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    equal = scoringrules.crps_mixnorm(Y, loc.T, scale.T)
    found = crps_mixture_normal(Y, loc, scale, average=False)
    np.testing.assert_allclose(found, equal, rtol=2e-5)


def test_a_common_offset_costs_no_digits():
    """Seconds since 1970 are beyond single precision; their differences are not."""
    at = 1.7e9
    found = crps_draws(Y + at, DRAWS + at, average=False)
    np.testing.assert_allclose(found, crps_draws(Y, DRAWS, average=False), atol=1e-5)
    found = crps_normal(Y + at, LOC + at, SCALE, average=False)
    np.testing.assert_allclose(found, crps_normal(Y, LOC, SCALE, average=False), atol=1e-5)


def test_memory_is_that_of_the_draws():
    """No array of pairs: 2,000 draws of 50 rows would make one of 800 MB."""
    from numpyro_bayeslayers.metrics._crps import _fair_crps

    draws = jax.ShapeDtypeStruct((2000, 50), jnp.float32)
    memory = jax.jit(_fair_crps).lower(draws).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 10 * 2000 * 50 * 4


def test_they_are_pure():
    gradient = jax.grad(lambda m: crps_normal(jnp.array(Y), m, jnp.array(SCALE)).mean)
    assert np.isfinite(gradient(jnp.array(LOC))).all()
    each = jax.jit(lambda y, x: crps_draws(y, x, average=False))(Y, DRAWS)
    np.testing.assert_allclose(each, crps_draws(Y, DRAWS, average=False), atol=1e-6)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(
        ValueError, match=r"`draws` must have one axis before .* \(30, 25\)"
    ):
        crps_draws(Y, DRAWS.T)
    with pytest.raises(ValueError, match=r"`draws` must have at least 2 draws, got 1"):
        crps_draws(Y, DRAWS[:1])
    with pytest.raises(ValueError, match=r"`scale` must be positive"):
        crps_normal(Y, LOC, -SCALE)
    with pytest.raises(ValueError, match=r"`loc` has 30 entries that are NaN"):
        crps_normal(Y, LOC * np.nan, SCALE)
    with pytest.raises(ValueError, match=r"`y` has 30 entries that are NaN or infinite"):
        crps_normal(Y * np.inf, LOC, SCALE)
    with pytest.raises(ValueError, match=r"`df` must be above 1, got 1"):
        crps_student_t(Y, DF * 0 + 1, LOC, SCALE)
    with pytest.raises(ValueError, match=r"`weights` must be 2 probabilities"):
        crps_mixture_normal(Y, DRAWS[:2], DRAWS[:2] ** 2 + 1, [0.5, 0.6])
    with pytest.raises(TypeError, match=r"`average` must be True or False"):
        crps_normal(Y, LOC, SCALE, average="no")
