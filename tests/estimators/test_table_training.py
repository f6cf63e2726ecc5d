"""The factor of the noise, held-out rows, and sizes of programs."""

import math

import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from numpyro.handlers import seed
from numpyro.infer.util import log_density

from numpyro_bayeslayers.estimators import _table_training
from numpyro_bayeslayers.estimators._table_network import Draws, Network, model_of
from numpyro_bayeslayers.estimators._table_rows import merged, padded_size, units_of
from numpyro_bayeslayers.estimators._table_training import (
    Plan,
    Rows,
    Trained,
    _calibrated,
    _searched,
    held_out,
    train,
)
from numpyro_bayeslayers.infer import Modes, SampledEnsemble


def test_the_factor_is_how_much_the_noise_was_too_small():
    """Noise twice as large as two members say, in 800 rows: 2 within 4%, in steps of 5%."""
    network = Network(1, (), "relu", "normal")
    zeros = np.zeros((2, 1, 1), np.float32)
    sites = {"skip.weight": zeros, "skip.bias": zeros[:, 0], "noise_skip.weight": zeros}
    sites["noise_level"] = np.zeros(2, np.float32)
    sigma = 1e-3 + np.log(2.0)  # softplus(0), beside the least
    probabilities = (np.arange(800) + 0.5) / 800
    y = 2 * sigma * scipy.special.ndtri(probabilities)
    x = np.zeros((800, 1), np.float32)
    rows = Rows(x, y.astype(np.float32), np.ones(800, np.float32))
    trained = Trained(Draws(sites, 1.0, 0.0, 1.0), None, None)
    found = _calibrated(network, [trained], [rows], math.inf)
    assert 1.9 < found.draws.factor < 2.11
    expected = scipy.stats.norm(0, found.draws.factor * sigma).logpdf(y).mean()
    np.testing.assert_allclose(found.score, expected, atol=1e-3)


def test_ten_rows_that_are_right_do_not_sharpen_without_end():
    """The most probable temperature by SciPy, within half a step of 5%; without prior it is 0."""
    network = Network(1, (), "relu", "categorical", 2)
    sites = {"skip.weight": np.zeros((2, 1, 2), np.float32)}
    sites["skip.bias"] = np.array([[1.0, -1.0]] * 2, np.float32)
    rows = Rows(np.zeros((10, 1), np.float32), np.zeros(10, int), np.ones(10, np.float32))
    trained = Trained(Draws(sites, 1.0, 0.0, 1.0), None, None)
    found = _calibrated(network, [trained], [rows], 0.5)
    log_density = lambda t: 10 * scipy.special.log_expit(2 * np.exp(-t))
    lost = lambda t: -log_density(t) + 0.5 * (t / 0.5) ** 2
    expected = scipy.optimize.minimize_scalar(lost, bounds=(-2, 2), method="bounded").x
    assert abs(np.log(found.draws.factor) - expected) < 0.026
    right = log_density(np.log(found.draws.factor)) / 10  # the score is that of rows alone
    np.testing.assert_allclose(found.score, right, atol=1e-5)


def test_chains_from_modes_run_once(monkeypatch):
    """The scale is chosen by the modes alone, and the noise of chains needs no factor."""
    ran = []
    trained = Trained(Draws({}, 1.0, 0.0, 1.0), None, None)

    def fitted(network, rows, draws, plan, held=None):
        ran.append((plan.method, int((rows.weights > 0).sum())))
        return trained._replace(draws=draws)

    better = lambda n, found, *given: found[0]._replace(
        draws=found[0].draws._replace(factor=1.5), score=found[0].draws.prior_scale
    )
    monkeypatch.setattr(_table_training, "_fitted", fitted)
    monkeypatch.setattr(_table_training, "_calibrated", better)
    rows = Rows(np.zeros((100, 1), np.float32), np.zeros(100), np.ones(100, np.float32))
    chains, modes = SampledEnsemble(num_members=3), Modes(num_members=3)
    for early, most in ((False, 100), (True, 85)):
        ran.clear()
        plan = Plan(chains, 10, None, (0.5, 1.0), 0.15, 1, early, 0, False)
        found = train(Network(1, (), "relu", "normal"), rows, 0.0, plan)
        assert ran == [(modes, 85), (modes, 85), (chains, most)]
        assert found.draws.prior_scale == 1.0 and found.draws.factor == 1.0


def test_few_rows_are_not_held_out():
    plan = Plan(None, 10, None, (1.0,), 0.15, 1, False, 0, False)
    assert not held_out(40, plan)
    (own,) = held_out(100, plan)
    assert own.sum() == 15
    assert not held_out(100, plan._replace(num_steps=None))  # chains
    assert (own != held_out(100, plan._replace(seed=1))[0]).any()


def test_shares_are_apart_and_have_their_members():
    """Four of fifteen rows, two of eight members each; fewer if members or rows are few."""
    plan = Plan(Modes(num_members=8), 10, None, (1.0,), 0.15, 4, False, 0, False)
    shares = np.array(held_out(100, plan))
    assert (shares.sum(1) == 15).all() and shares.sum(0).max() == 1 and len(shares) == 4
    assert _searched(plan.method, 4) == Modes(num_members=2)
    assert len(held_out(100, plan._replace(method=Modes(num_members=3)))) == 3
    assert len(held_out(100, plan._replace(share=0.4))) == 2
    assert len(held_out(100, plan._replace(early_stopping=True))) == 1


def test_sizes_are_few_and_not_much_larger():
    sizes = [padded_size(n) for n in range(1, 3000)]
    assert all(
        n <= s <= max(n + 7, 1.125 * n) for n, s in zip(range(1, 3000), sizes, strict=True)
    )
    assert len(set(sizes)) < 70


def test_equal_rows_are_counted_together():
    x, y = np.array([[1.0], [0.0], [1.0], [5.0]]), np.array([2.0, 3.0, 2.0, 9.0])
    rows, outcomes, weights = merged(x, y, np.array([1.0, 0.5, 2.0, 0.0]))
    np.testing.assert_array_equal(rows, [[0.0], [1.0]])
    np.testing.assert_array_equal(outcomes, [3.0, 2.0])
    np.testing.assert_array_equal(weights, [0.5, 3.0])


def test_units_of_columns_of_any_size():
    x = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 1e200, 0.0] + [0.0, 0.0, 7.0]
    mean, scale = units_of(x, np.ones(50))
    np.testing.assert_allclose(mean[:2] / [1, 1e200], x[:, :2].mean(0) / [1, 1e200])
    np.testing.assert_allclose(scale[0], x[:, 0].std())
    assert mean[2] == 7.0 and scale[2] == 1.0


def test_a_mean_log_density_of_zero_is_a_score(monkeypatch):
    """It is better than all below; taken as no score it lost to them."""
    scores = iter([-1.0, 0.0, -2.0])
    trained = Trained(Draws({}, 1.0, 0.0, 1.0), None, None)
    monkeypatch.setattr(
        _table_training, "_fitted", lambda n, r, draws, *a: trained._replace(draws=draws)
    )
    monkeypatch.setattr(
        _table_training,
        "_calibrated",
        lambda n, found, *given: found[0]._replace(score=next(scores)),
    )
    rows = Rows(np.zeros((100, 1), np.float32), np.zeros(100), np.ones(100, np.float32))
    plan = Plan(None, 10, None, (0.5, 1.0, 2.0), 0.15, 1, False, 0, False)
    found = train(Network(1, (), "relu", "normal"), rows, 0.0, plan)
    assert found.draws.prior_scale == 1.0 and found.score == 0.0


def test_counts_between_whole_ones_are_the_two_around():
    """Weights sum to the row's, the mean is its outcome; other likelihoods leave rows alone."""
    y, weights = np.array([2.3, 4.0, 0.25]), np.array([10.0, 1.0, 4.0])
    rows = Rows(np.arange(3.0)[:, None], y, weights)
    found = rows.of(Network(1, (), "relu", "poisson"))
    np.testing.assert_allclose(found.x[:, 0], [0, 1, 2, 0, 2])
    np.testing.assert_allclose(found.y, [2, 4, 0, 3, 1])
    np.testing.assert_allclose(found.weights, [7, 1, 3, 3, 1])
    assert rows.of(Network(1, (), "relu", "normal")) is rows


def test_rows_that_count_nothing_are_as_good_as_absent():
    """They stand in for rows that are held out, with chains too, where weights are known."""
    rng, model = np.random.default_rng(0), model_of(Network(2, (3,), "relu", "normal"))
    rows = {"x": rng.normal(size=(6, 2)).astype(np.float32)}
    rows |= {"weights": np.array([1.0, 2.0, 0.0, 1.0, 0.0, 0.5], np.float32)}
    rows |= {"prior_scale": np.ones(6, np.float32), "offset": np.zeros(6, np.float32)}
    rows |= {"y": np.array([0.0, 1.0, np.inf, 2.0, 3.0, 1.0], np.float32)}
    rows = {name: jnp.asarray(x) for name, x in rows.items()}
    some = {name: x[rows["weights"] > 0] for name, x in rows.items()}
    found, expected = (
        log_density(seed(model, 0), (), each, {})[0] for each in (rows, some)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)
