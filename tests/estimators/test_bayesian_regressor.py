"""Numbers to predict: against closed forms, and bad input."""

import copy

import numpy as np
import optax
import pandas as pd
import pytest
import scipy.stats
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from numpyro_bayeslayers.estimators import BayesianRegressor
from numpyro_bayeslayers.infer import MCMC, Modes, SampledEnsemble
from tests.estimators.rows import NEW, QUICK, X, Y


@pytest.fixture(scope="module")
def linear():
    settings = QUICK | {"likelihood": "homoscedastic"}
    return BayesianRegressor(**settings).fit(X, Y)


def standardized():
    x = (X - X.mean(0)) / X.std(0)
    design = np.column_stack([x, np.ones(60)])
    return design, (Y - Y.mean()) / Y.std()


def test_a_linear_mode_is_ridge_regression(linear):
    """The mode of the weights given the noise's deviation solves the normal equations."""
    design, z = standardized()
    sigma = linear.draws_["sigma"][0]
    precision = 2.0 * sigma**2  # weights have variance 1 / fan-in
    ridge = np.linalg.solve(design.T @ design + precision * np.eye(3), design.T @ z)
    expected = Y.mean() + Y.std() * design @ ridge
    np.testing.assert_allclose(linear.predict(X), expected, atol=0.01)


def test_the_deviation_of_a_linear_mode_is_that_of_residuals(linear):
    """d/dσ of the log density with its Exponential(1) prior is zero."""
    design, z = standardized()
    weights = linear.draws_["skip.weight"][0][:, 0], linear.draws_["skip.bias"][0]
    residuals = z - design @ np.concatenate(weights)
    sigma = linear.draws_["sigma"][0]
    slope = -60 / sigma + (residuals**2).sum() / sigma**3 - 1.0
    assert abs(slope) < 1.0  # of terms of 300


def test_predictions_are_those_of_the_mixture(linear):
    """Density, quantiles, mean and deviation by SciPy's normals, one for each member."""
    x = (NEW - X.mean(0)) / X.std(0)
    draws = linear.draws_
    z = x @ draws["skip.weight"][:, :, 0].T + draws["skip.bias"][:, 0]
    scale = Y.std() * linear.factor_ * draws["sigma"]
    laws = scipy.stats.norm(Y.mean() + Y.std() * z, scale)
    mean, std = linear.predict(NEW, return_std=True)
    np.testing.assert_allclose(mean, laws.mean().mean(1), rtol=1e-4, atol=1e-4)
    variance = laws.var().mean(1) + laws.mean().var(1)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-4)
    y = mean + 0.3
    density = np.log(laws.pdf(y[:, None]).mean(1))
    np.testing.assert_allclose(linear.score_samples(NEW, y), density, atol=1e-3)
    low, high = linear.predict_interval(NEW, coverage=0.8)
    np.testing.assert_allclose(laws.cdf(low[:, None]).mean(1), 0.1, atol=1e-4)
    np.testing.assert_allclose(laws.cdf(high[:, None]).mean(1), 0.9, atol=1e-4)


def test_draws_have_the_moments_of_predictions(linear):
    """4,000 draws of 60 rows; |z| < 4.5 fails by chance once in 2,000 runs."""
    draws = linear.sample(NEW, 4000)
    mean, std = linear.predict(NEW, return_std=True)
    z = (draws.mean(0) - mean) / (std / np.sqrt(4000))
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(draws.std(0), std, rtol=0.06)
    np.testing.assert_array_equal(draws, linear.sample(NEW, 4000))


@pytest.mark.slow
def test_chains_are_the_conjugate_posterior():
    """Means and deviations of the curve by quadrature over σ of the conjugate posterior.

    1,000 draws: the means are off by 0.03 deviations or so; 0.2 is far out.
    """
    method = MCMC(num_warmup=300, num_samples=500, num_chains=2)
    settings = {"likelihood": "homoscedastic", "method": method, "random_state": 0}
    found = BayesianRegressor((), **settings).fit(X, Y)
    design, z = standardized()
    sigmas = np.linspace(0.05, 0.6, 400)
    logs, means, covariances = [], [], []
    for sigma in sigmas:
        marginal = sigma**2 * np.eye(60) + design @ design.T / 2
        logs.append(
            scipy.stats.multivariate_normal.logpdf(z, np.zeros(60), marginal) - sigma
        )
        precision = design.T @ design / sigma**2 + 2 * np.eye(3)
        covariances.append(np.linalg.inv(precision))
        means.append(covariances[-1] @ design.T @ z / sigma**2)
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    mean = weights @ np.array(means)
    second = np.einsum("s,sij->ij", weights, covariances)
    second += np.einsum("s,si,sj->ij", weights, means, means)
    std = np.sqrt(np.diag(second - np.outer(mean, mean)))
    draws = np.column_stack(
        [found.draws_["skip.weight"][:, :, 0], found.draws_["skip.bias"]]
    )
    np.testing.assert_allclose((draws.mean(0) - mean) / std, 0.0, atol=0.25)
    np.testing.assert_allclose(draws.std(0), std, rtol=0.2)


def test_weights_are_repetitions_and_order_does_not_matter():
    """To the last bit: equal rows are one row that counts for all of them."""
    counts = np.array([0, 1, 2, 3] * 15)
    again = np.random.default_rng(1).permutation(np.repeat(np.arange(60), counts))
    weighted = BayesianRegressor(**QUICK).fit(X, Y, sample_weight=counts)
    repeated = BayesianRegressor(**QUICK).fit(X[again], Y[again])
    np.testing.assert_array_equal(weighted.predict(NEW), repeated.predict(NEW))


def test_units_do_not_matter():
    """Inputs and outcomes in units of a billion, far from zero."""
    small = BayesianRegressor(**QUICK).fit(X, Y)
    large = BayesianRegressor(**QUICK).fit(X * 1e9 + 1e12, Y * 1e9 - 1e11)
    expected = small.predict(NEW) * 1e9 - 1e11
    found = large.predict(NEW * 1e9 + 1e12)
    np.testing.assert_allclose(found, expected, atol=1e9 * 0.02)


def test_categories_are_read_by_their_words():
    """Levels by name; a level that was not there, or another order of columns, is an error."""
    town = np.array(["oslo", "rome", "kyiv"])[np.arange(60) % 3]
    shift = np.array([0.0, 5.0, -5.0])[np.arange(60) % 3]
    table = pd.DataFrame({"a": X[:, 0], "town": town, "b": X[:, 1]})
    found = BayesianRegressor(**QUICK).fit(table, Y + shift)
    at = pd.DataFrame({"a": [0.0] * 3, "town": ["oslo", "rome", "kyiv"], "b": [0.0] * 3})
    np.testing.assert_allclose(found.predict(at), [3.0, 8.0, -2.0], atol=1.0)
    assert list(found.feature_names_in_) == ["a", "town", "b"]
    with pytest.raises(ValueError, match=r"town.*paris"):
        found.predict(at.assign(town="paris"))
    with pytest.raises(ValueError, match=r"'b'.*NaN"):
        found.predict(at.assign(b=np.nan))
    with pytest.raises(ValueError, match="same order"):
        found.predict(at[["town", "a", "b"]])
    with pytest.raises(ValueError, match="must be a table"):
        found.predict(X[:, :1])


def with_entry(value):
    x = X.copy()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (with_entry(np.nan), Y, "NaN"),
        (with_entry(np.inf), Y, "infinity"),
        (X, np.where(np.arange(60) == 3, np.nan, Y), "`y`.*NaN|nan"),
        (X[:1], Y[:1], "n_samples=1"),
        (X, Y[:50], "inconsistent numbers of samples"),
        ([["a", "b"]] * 60, Y, "could not convert|numeric"),
        (X[:0], Y[:0], "0 sample"),
        (X, None, "requires y"),
    ],
)
def test_bad_rows_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        BayesianRegressor(**QUICK).fit(x, y)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"likelihood": "norml"}, ValueError),
        ({"activation": "rlu"}, ValueError),
        ({"hidden": (0,)}, ValueError),
        ({"num_members": 0}, ValueError),
        ({"validation": 1.0}, ValueError),
        ({"prior_scale": -1.0}, ValueError),
        ({"method": "map"}, ValueError),
    ],
)
def test_bad_settings_are_refused_by_their_name(setting, error):
    (name,) = setting
    with pytest.raises(error, match=f"`{name}`"):
        BayesianRegressor(**QUICK | setting).fit(X, Y)


def test_lognormal_needs_positive_outcomes():
    with pytest.raises(ValueError, match="`y` must be positive"):
        BayesianRegressor(**QUICK, likelihood="lognormal").fit(X, Y - 100)


@pytest.mark.slow
def test_what_is_odd_is_fitted():
    """A constant column, switches, lists, fewer rows than columns, a constant outcome."""
    wide = BayesianRegressor(**QUICK).fit(np.zeros((4, 60)).tolist(), [1, 2, 3, 4])
    assert np.isfinite(wide.predict(np.zeros((2, 60)))).all()
    switches = BayesianRegressor(**QUICK).fit(X > 0, np.full(60, 7.0))
    np.testing.assert_allclose(switches.predict(X > 0), 7.0, atol=0.5)


@pytest.mark.slow
def test_the_tools_of_scikit_learn(linear):
    """A pipeline in a grid search, of a transformed outcome; cloned settings."""
    pipe = make_pipeline(StandardScaler(), BayesianRegressor(**QUICK))
    target = TransformedTargetRegressor(pipe, func=np.log, inverse_func=np.exp)
    grid = {"regressor__bayesianregressor__num_members": [1, 2]}
    search = GridSearchCV(target, grid, cv=2).fit(X, np.exp(Y / 4))
    assert search.best_score_ > 0.5
    assert clone(linear).get_params() == linear.get_params()


def test_save_and_load(linear, tmp_path):
    """The same numbers, to the last bit."""
    path = tmp_path / "model.safetensors"
    linear.save(path)
    again = BayesianRegressor.load(path)
    np.testing.assert_array_equal(again.predict(NEW), linear.predict(NEW))
    np.testing.assert_array_equal(again.sample(NEW, 3), linear.sample(NEW, 3))
    assert again.get_params() == linear.get_params()


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Modes(num_members=3, optim=0.03), Modes(num_members=3, optim=0.03)),
        (MCMC(num_samples=7), MCMC(num_samples=7)),
        (SampledEnsemble, "sampled_ensemble"),
        ("mcmc", "mcmc"),
    ],
)
def test_a_file_keeps_the_method_with_its_options(linear, method, expected, tmp_path):
    """What `fit` would do next is part of the file; nothing is fitted for it here."""
    found = copy.copy(linear).set_params(method=method)
    found.save(tmp_path / "model")
    assert BayesianRegressor.load(tmp_path / "model").method == expected


def test_options_that_are_no_data_are_asked_for(linear, tmp_path):
    """An optimizer that is an object is named by its type, when a fit needs it."""
    method = Modes(num_members=2, optim=optax.adam(0.01))
    found = copy.copy(linear).set_params(method=method)
    found.save(tmp_path / "model")
    again = BayesianRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(NEW), linear.predict(NEW))
    for go_on in (again.fit, again.partial_fit):
        with pytest.raises(ValueError, match=r"`method.optim` was not stored in the file"):
            go_on(X, Y)


def test_going_on_learns_new_rows(linear):
    """Rows of another intercept pull the mean towards them, and columns are checked."""
    moved = clone(linear).fit(X, Y).partial_fit(X, Y + 1.0)
    shift = (moved.predict(NEW) - linear.predict(NEW)).mean()
    assert 0.1 < shift < 1.1
    with pytest.raises(ValueError, match="features"):
        moved.partial_fit(X[:, :1], Y)
