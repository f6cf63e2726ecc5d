"""Conformal intervals against MAPIE, finite-sample quantiles and simulation."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import check_estimator

from numpyro_bayeslayers.estimators import ConformalRegressor
from numpyro_bayeslayers.estimators._conformal import parted

pytestmark = pytest.mark.usefixtures("as_users_run")  # any setting is kept until `fit`
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 2))
Y = X[:, 0] + (0.5 + np.abs(X[:, 1])) * RNG.normal(size=120)
NEW = RNG.normal(size=(30, 2))
QUANTILE = QuantileRegressor(alpha=0.0, solver="highs")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inner", "method"),
    [(LinearRegression(), "split"), (LinearRegression(), "cv+"), (QUANTILE, "quantile")],
)
def test_scikit_learn_takes_it(inner, method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(
            ConformalRegressor(inner, method, random_state=0), on_fail="raise", on_skip=None
        )


def kept_rows():
    return parted(120, 0.25, 0)


def test_split_is_the_quantile_of_residuals():
    """By hand: 30 rows for calibration, of whose residuals the ceil(31 * 0.9) = 28th."""
    found = ConformalRegressor(LinearRegression(), random_state=0).fit(X, Y)
    train, kept = kept_rows()
    inner = LinearRegression().fit(X[train], Y[train])
    room = np.sort(np.abs(Y[kept] - inner.predict(X[kept])))[27]
    low, high = found.predict_interval(NEW)
    np.testing.assert_allclose(low, inner.predict(NEW) - room)
    np.testing.assert_allclose(high, inner.predict(NEW) + room)
    np.testing.assert_allclose(found.predict(NEW), inner.predict(NEW))


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_split_is_that_of_mapie(coverage):
    mapie = pytest.importorskip("mapie.regression")
    found = ConformalRegressor(LinearRegression(), random_state=0).fit(X, Y)
    _, kept = kept_rows()
    oracle = mapie.SplitConformalRegressor(found.estimator_, coverage, prefit=True)
    _, expected = oracle.conformalize(X[kept], Y[kept]).predict_interval(NEW)
    np.testing.assert_allclose(found.predict_interval(NEW, coverage), expected[..., 0].T)


@pytest.mark.parametrize("coverage", [0.6, 0.9])
def test_cv_plus_is_that_of_mapie(coverage):
    mapie = pytest.importorskip("mapie.regression")
    folds = KFold(5, shuffle=True, random_state=check_random_state(0).randint(2**31 - 1))
    oracle = mapie.CrossConformalRegressor(LinearRegression(), coverage, cv=folds)
    _, expected = oracle.fit_conformalize(X, Y).predict_interval(NEW)
    found = ConformalRegressor(LinearRegression(), "cv+", random_state=0).fit(X, Y)
    np.testing.assert_allclose(found.predict_interval(NEW, coverage), expected[..., 0].T)


def test_quantile_is_that_of_mapie():
    mapie = pytest.importorskip("mapie.regression")
    found = ConformalRegressor(QUANTILE, "quantile", coverage=0.8, random_state=0).fit(X, Y)
    train, kept = kept_rows()
    members = [clone(QUANTILE).set_params(quantile=q) for q in (0.1, 0.9, 0.5)]
    members = [member.fit(X[train], Y[train]) for member in members]
    oracle = mapie.ConformalizedQuantileRegressor(members, 0.8, prefit=True)
    oracle.conformalize(X[kept], Y[kept])
    _, expected = oracle.predict_interval(NEW, symmetric_correction=True)
    np.testing.assert_allclose(found.predict_interval(NEW), expected[..., 0].T)
    np.testing.assert_allclose(found.predict(NEW), members[2].predict(NEW))


class WithIntervals(RegressorMixin, BaseEstimator):
    """Of a known width, which is wrong by a factor."""

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return X[:, 0]

    def predict_interval(self, X, coverage=0.9):
        width = 3 * coverage * (0.5 + np.abs(X[:, 1]))
        return X[:, 0] - width, X[:, 0] + width


def test_intervals_of_the_estimator_are_mended():
    """Each in its own measure of width, at any probability; by hand."""
    found = ConformalRegressor(WithIntervals(), "quantile", random_state=0).fit(X, Y)
    _, kept = kept_rows()
    for coverage, k in ((0.9, 28), (0.5, 16)):
        low, high = WithIntervals().predict_interval(X[kept], coverage)
        room = np.sort(np.maximum(low - Y[kept], Y[kept] - high))[k - 1]
        low, high = WithIntervals().predict_interval(NEW, coverage)
        bounds = found.predict_interval(NEW, coverage)
        is_turned = low - room > high + room
        expected = np.where(is_turned, (low + high) / 2, [low - room, high + room])
        np.testing.assert_allclose(bounds, expected)


@pytest.mark.parametrize(
    "inner",
    [
        GradientBoostingRegressor(loss="quantile", n_estimators=3),
        HistGradientBoostingRegressor(loss="quantile", max_iter=3),
    ],
)
def test_boosting_with_a_quantile_loss(inner):
    found = ConformalRegressor(inner, "quantile", random_state=0).fit(X, Y)
    low, high = found.predict_interval(X)
    assert np.mean((low <= Y) & (high >= Y)) > 0.8


@pytest.mark.parametrize(
    ("method", "inner"), [("split", Ridge()), ("quantile", WithIntervals())]
)
def test_coverage_is_that_of_the_rank(method, inner):
    """On average over 400 fits to 40 rows, of which 10 calibrate: k / 11 with k = 9.

    Coverage of a fit is Beta(9, 2), of deviation 0.11, and counted in 50 new rows, 0.05: the
    mean is known to 0.0062. Five times that: a chance of 6e-7 of a false alarm.
    """
    rng = np.random.default_rng(1)
    inside = []
    for seed in range(400):
        x = rng.normal(size=(90, 2))
        y = x[:, 0] + (0.5 + np.abs(x[:, 1])) * rng.standard_t(3, 90)
        found = ConformalRegressor(inner, method, coverage=0.8, random_state=seed)
        low, high = found.fit(x[:40], y[:40]).predict_interval(x[40:])
        inside.append(np.mean((low <= y[40:]) & (y[40:] <= high)))
    assert np.mean(inside) == pytest.approx(9 / 11, abs=0.031)


def test_cv_plus_covers():
    """At least 2 p - 1 is guaranteed and p found: 150 fits to 30 rows, to 0.03."""
    rng = np.random.default_rng(2)
    inside = []
    for seed in range(150):
        x = rng.normal(size=(80, 2))
        y = x[:, 0] + rng.normal(size=80)
        found = ConformalRegressor(Ridge(), "cv+", coverage=0.8, random_state=seed)
        low, high = found.fit(x[:30], y[:30]).predict_interval(x[30:])
        inside.append(np.mean((low <= y[30:]) & (y[30:] <= high)))
    assert 0.77 < np.mean(inside) < 0.9


def test_tables_pipelines_and_searches():
    """Columns by name, words among them; settings of the estimator inside can be searched."""
    table = pd.DataFrame({"x": X[:, 0], "city": np.where(X[:, 1] > 0, "oslo", "bergen")})
    pick = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    found = ConformalRegressor(make_pipeline(pick, Ridge()), random_state=0).fit(table, Y)
    assert list(found.feature_names_in_) == ["x", "city"]
    low, high = found.predict_interval(table)
    assert (low < high).all()
    with pytest.raises(ValueError, match=r"feature names"):
        found.predict(table.rename(columns={"x": "z"}))
    grid = {"estimator__ridge__alpha": [0.1, 10.0]}
    search = GridSearchCV(clone(found), grid, cv=3).fit(table, Y)
    assert search.best_params_.keys() == grid.keys()


def test_few_rows_are_said_at_once_and_refused():
    with pytest.warns(UserWarning, match=r"needs at least 9 rows for calibration, got 5"):
        found = ConformalRegressor(Ridge(), random_state=0).fit(X[:20], Y[:20])
    assert found.predict(NEW).shape == (30,)
    with pytest.raises(ValueError, match=r"`coverage` of 0.9 needs at least 9 rows"):
        found.predict_interval(NEW)
    assert np.isfinite(found.predict_interval(NEW, 0.8)).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"method": "jackknife"}, ValueError, "`method` must be"),
        ({"coverage": 1.0}, ValueError, "`coverage` must be above 0 and below 1"),
        ({"coverage": "much"}, TypeError, "`coverage` must be a number"),
        ({"calibration_size": 2}, ValueError, "`calibration_size` must be above 0"),
        ({"calibration_size": 0.999}, ValueError, "n_samples=120 is too small"),
        ({"method": "cv+", "cv": 1}, ValueError, "`cv` must be from 2"),
        ({"method": "quantile"}, ValueError, "needs an estimator with `predict_interval"),
        (
            {"method": "quantile", "estimator": GradientBoostingRegressor()},
            ValueError,
            "with a quantile loss",
        ),
    ],
)
def test_errors_of_settings(settings, error, message):
    with pytest.raises(error, match=message):
        ConformalRegressor(**{"estimator": Ridge()} | settings).fit(X, Y)


def test_errors_of_data():
    found = ConformalRegressor(QUANTILE, "quantile", coverage=0.8, random_state=0)
    with pytest.raises(ValueError, match=r"`y` has 1 entries that are NaN"):
        found.fit(X, np.where(np.arange(120) == 3, np.nan, Y))
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples"):
        found.fit(X, Y[:5])
    with pytest.raises(ValueError, match=r"Reshape your data"):
        found.fit(X[:, 0], Y)
    found.fit(X, Y)
    with pytest.raises(ValueError, match=r"`coverage` must be 0.8, as in `fit`"):
        found.predict_interval(NEW, 0.5)
    with pytest.raises(ValueError, match=r"features"):
        found.predict_interval(NEW[:, :1])
