"""Conformal sets of classes against MAPIE, by hand, and by simulation."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import check_estimator

from numpyro_bayeslayers.estimators import ConformalClassifier
from numpyro_bayeslayers.estimators._conformal import parted

# Not the default solver, of which SciPy warns under older versions of scikit-learn.
NEWTON = LogisticRegression(solver="newton-cholesky")
SLOPES = np.array([[2.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])


def probabilities(x):
    odds = np.exp(x @ SLOPES.T)
    return odds / odds.sum(1, keepdims=True)


def simulated(rng, n):
    x = rng.normal(size=(n, 2))
    return x, (rng.uniform(size=(n, 1)) > probabilities(x).cumsum(1)).sum(1)


pytestmark = pytest.mark.usefixtures("as_users_run")  # any setting is kept until `fit`
RNG = np.random.default_rng(0)
X, Y = simulated(RNG, 200)
NEW, _ = simulated(RNG, 40)


class TooSure(ClassifierMixin, BaseEstimator):
    """The right probabilities, squared."""

    def fit(self, X, y):
        self.classes_ = np.arange(3)
        return self

    def predict_proba(self, X):
        squared = probabilities(X) ** 2
        return squared / squared.sum(1, keepdims=True)

    def predict(self, X):
        return self.predict_proba(X).argmax(1)


@pytest.mark.slow
def test_scikit_learn_takes_it():
    inner = LogisticRegression()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(
            ConformalClassifier(inner, random_state=0), on_fail="raise", on_skip=None
        )


@pytest.mark.parametrize("coverage", [0.6, 0.9])
def test_sets_are_those_of_mapie(coverage):
    """Of the same rows, with the same draws for their scores."""
    mapie = pytest.importorskip("mapie.classification")
    random = check_random_state(0)
    _, kept = parted(200, 0.25, random)

    oracle = mapie.SplitConformalClassifier(
        TooSure().fit(X, Y),
        coverage,
        prefit=True,
        conformity_score="aps",
        random_state=random,
    )
    _, expected = oracle.conformalize(X[kept], Y[kept]).predict_set(NEW)
    found = ConformalClassifier(TooSure(), random_state=0).fit(X, Y)
    np.testing.assert_array_equal(found.predict_set(NEW, coverage), expected[..., 0])


def test_sets_by_hand():
    """Classes enter by their probability until those before add up to the threshold."""
    found = ConformalClassifier(TooSure(), coverage=0.8, random_state=0).fit(X, Y)
    threshold = found.scores_[int(np.ceil(51 * 0.8)) - 1]
    for row, members in zip(found.predict_proba(NEW), found.predict_set(NEW), strict=True):
        total, expected = 0.0, set()
        for k in np.argsort(-row):
            if total <= threshold:
                expected.add(k)
            total += row[k]
        assert set(np.flatnonzero(members)) == expected


@pytest.mark.parametrize("randomize", [True, False])
def test_coverage_is_that_of_the_rank(randomize):
    """400 fits to 40 rows, of which 10 calibrate: k / 11 with k = 9, or a little more.

    The mean over fits, of deviation 0.12 each, is known to 0.006; five times that.
    """
    rng = np.random.default_rng(1)
    inside = []
    for seed in range(400):
        x, y = simulated(rng, 90)
        found = ConformalClassifier(
            TooSure(), coverage=0.8, randomize=randomize, random_state=seed
        )
        sets = found.fit(x[:40], y[:40]).predict_set(x[40:])
        inside.append(sets[np.arange(50), y[40:]].mean())
    if randomize:
        assert np.mean(inside) == pytest.approx(9 / 11, abs=0.031)
    else:
        assert 9 / 11 < np.mean(inside) < 0.97


def test_words_and_sets_that_are_never_empty():
    words = np.array(["oslo", "bergen", "tromsø"])[Y]
    found = ConformalClassifier(NEWTON, random_state=0).fit(X, words)
    assert list(found.classes_) == ["bergen", "oslo", "tromsø"]
    assert found.predict_set(NEW, 0.05).any(1).all()
    assert set(found.predict(NEW)) <= set(words)
    np.testing.assert_allclose(found.predict_proba(NEW).sum(1), 1)


def test_a_class_that_is_in_no_training_row():
    """It has probability zero, and is in a set only where everything else is."""
    _, kept = parted(200, 0.25, check_random_state(0))
    y = np.where(np.isin(np.arange(200), kept[:2]), 9, Y)
    found = ConformalClassifier(NEWTON, random_state=0).fit(X, y)
    assert list(found.classes_) == [0, 1, 2, 9]
    assert not found.predict_proba(NEW)[:, 3].any()
    assert found.predict_set(NEW).shape == (40, 4)


def test_errors():
    with pytest.raises(ValueError, match=r"`coverage` must be above 0"):
        ConformalClassifier(TooSure(), coverage=0.0).fit(X, Y)
    with pytest.raises(TypeError, match=r"`randomize` must be True or False"):
        ConformalClassifier(TooSure(), randomize="no").fit(X, Y)
    with pytest.raises(ValueError, match=r"Unknown label type"):
        ConformalClassifier(TooSure()).fit(X, Y + 0.5)
    found = ConformalClassifier(TooSure(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"needs at least 99 rows for calibration, got 50"):
        found.predict_set(NEW, 0.99)
