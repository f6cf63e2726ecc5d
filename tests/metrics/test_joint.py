"""Energy and variogram score against scoringrules; dyadic scores against explicit products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scoringrules

from numpyro_bayeslayers.metrics import (
    crps_draws,
    dyadic_joint_log_score,
    energy_score,
    variogram_score,
)

RNG = np.random.default_rng(4)
Y, DRAWS = RNG.normal(size=(12, 3)), RNG.normal(size=(20, 12, 3))
OF_RULES = np.moveaxis(DRAWS, 0, 1)


def test_energy_is_that_of_scoringrules():
    expected = scoringrules.es_ensemble(Y, OF_RULES, estimator="fair")
    np.testing.assert_allclose(energy_score(Y, DRAWS, average=False), expected, rtol=2e-5)


def test_energy_of_one_output_is_its_crps():
    found = energy_score(Y[:, :1], DRAWS[..., :1], average=False)
    expected = crps_draws(Y[:, 0], DRAWS[..., 0], average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_energy_takes_no_memory_for_pairs():
    from numpyro_bayeslayers.metrics._joint import _energy

    draws = jax.ShapeDtypeStruct((1000, 10, 3), jnp.float32)
    memory = _energy.lower(draws).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 10 * 1000 * 10 * 3 * 4


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_variogram_is_that_of_scoringrules(order):
    expected = scoringrules.vs_ensemble(Y, OF_RULES, p=order)
    found = variogram_score(Y, DRAWS, order=order, average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_variogram_weighs_pairs():
    weights = RNG.uniform(size=(3, 3))
    expected = np.zeros(12)
    for j in range(3):
        for k in range(3):
            mean = np.mean(np.abs(DRAWS[..., j] - DRAWS[..., k]) ** 0.5, axis=0)
            off = np.abs(Y[:, j] - Y[:, k]) ** 0.5 - mean
            expected += weights[j, k] * off**2
    found = variogram_score(Y, DRAWS, weights=weights, average=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_dyads_are_products_over_pairs_of_rows():
    """With two rows each pair is both: the mean over how often each is taken, exactly.

    5 standard errors of 20,000 pairs: a chance of 6e-7 of a false alarm.
    """
    log_likelihood = RNG.normal(size=(6, 2)) - 1
    size = 4
    k = np.arange(size + 1)
    chance = scipy.special.comb(size, k) / 2**size
    joint = k[:, None] * log_likelihood[:, 0] + (size - k[:, None]) * log_likelihood[:, 1]
    exact = chance @ (np.log(6) - scipy.special.logsumexp(joint, axis=1))
    score = dyadic_joint_log_score(log_likelihood, num_dyads=20_000, size=size)
    assert abs(score.mean - exact) < 5 * score.standard_error
    each = dyadic_joint_log_score(log_likelihood, num_dyads=50, size=size, average=False)
    values = np.log(6) - scipy.special.logsumexp(joint, axis=1)
    assert np.abs(np.asarray(each)[:, None] - values).min(1).max() < 1e-5


def test_dyads_tell_what_is_not_known_from_noise():
    """Two models with the same score of rows: draws that disagree predict repetitions better."""
    sure = np.log(np.array([[0.9, 0.9], [0.1, 0.1]]))
    noisy = np.log(np.full((2, 2), 0.5))
    assert float(dyadic_joint_log_score(sure)) < float(dyadic_joint_log_score(noisy)) - 3


def test_an_impossible_row_that_is_not_taken_does_not_count():
    found = dyadic_joint_log_score(np.array([[0.0, -np.inf]]), size=1, average=False)
    assert set(np.asarray(found).tolist()) == {0.0, np.inf}


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(
        ValueError, match=r"`y` must have an axis of rows and one of outputs"
    ):
        energy_score(Y[:, 0], DRAWS[..., 0])
    with pytest.raises(ValueError, match=r"`order` must be positive"):
        variogram_score(Y, DRAWS, order=0.0)
    with pytest.raises(ValueError, match=r"`weights` must have shape \(3, 3\)"):
        variogram_score(Y, DRAWS, weights=np.ones(3))
    with pytest.raises(ValueError, match=r"`weights` must be zero or positive"):
        variogram_score(Y, DRAWS, weights=-np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"at least two columns"):
        dyadic_joint_log_score(np.zeros((3, 1)))
    with pytest.raises(TypeError, match=r"`seed` must be an integer"):
        dyadic_joint_log_score(np.zeros((3, 2)), seed=0.5)
