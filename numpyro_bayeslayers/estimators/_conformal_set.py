"""Conformal prediction sets of classes for any classifier."""

from typing import Any

import numpy as np

from .. import _checks
from ._conformal import AbstractConformal, coverage_of, parted, rank, warn_of_few
from ._scikit_learn import (
    ClassifierMixin,
    check_classes,
    check_is_fitted,
    check_random_state,
    clone,
    column_or_1d,
    num_rows,
    safe_indexing,
)


class ConformalClassifier(ClassifierMixin, AbstractConformal):
    r"""Adaptive prediction sets with guaranteed coverage for any classifier.

    If a new row comes from the same distribution as those of the fit, its set contains its
    class with at least the nominal probability, for any distribution and any classifier, on
    average over rows and fits. Sets are large where the classifier is uncertain: classes are
    added in the order of their probability until the sum of the preceding ones reaches a
    threshold, the $\lceil (n + 1) p \rceil$-th smallest of the scores of rows kept for
    calibration,

    $$s_i = \sum_{k:\, \hat p_{ik} \ge \hat p_{i y_i}} \hat p_{ik} - u_i\, \hat p_{i y_i},
    \qquad u_i \sim U(0, 1)$$

    Args:
        estimator: A classifier with `fit` and `predict_proba`.
        coverage: The coverage of the set, above 0 and below 1; `predict_set` accepts other
            values.
        calibration_size: The fraction of rows used for calibration, above 0 and below 1.
        randomize: Whether the last class of a set is included at random, so that the coverage
            is exact and sets may be empty. Otherwise it is always included: sets are slightly
            too large, never empty, and the same in each call.
        random_state: An integer, a NumPy generator or None, for the split of the rows and for
            $u$.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> inner = LogisticRegression(max_iter=500)
        >>> conformal = ConformalClassifier(inner, random_state=0).fit(X, y)
        >>> conformal.predict_set(X[:2]).shape
        (2, 3)

    References:
        Romano, Sesia, Candès (2020), "Classification with valid and adaptive coverage",
        NeurIPS, algorithm 1.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        coverage: float = 0.9,
        calibration_size: float = 0.25,
        randomize: bool = False,
        random_state: Any = None,
    ) -> None:
        # As scikit-learn requires, settings are stored unchanged and checked by `fit`.
        self.estimator = estimator
        self.coverage = coverage
        self.calibration_size = calibration_size
        self.randomize = randomize
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "ConformalClassifier":
        """Fit the classifier, and calibrate its sets on rows not used to fit it.

        Args:
            X: Rows, as the classifier accepts them.
            y: The class of each row: strings or numbers.

        Returns:
            This estimator, with the attributes ``estimator_``, the fitted classifier;
            ``classes_``, in the order of the columns of probabilities; and ``scores_``, sorted.

        Raises:
            TypeError: If a setting has the wrong type.
            ValueError: If a setting is out of range, rows are too few, or `y` holds no classes.
        """
        coverage = _checks.share("coverage", self.coverage)
        _checks.switch("randomize", self.randomize)
        X = self._look(X, y)
        rows = num_rows(X)
        y = column_or_1d(y, warn=True)
        check_classes(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        random = check_random_state(self.random_state)
        train, kept = parted(rows, self.calibration_size, random)
        warn_of_few(len(kept), coverage)
        self.estimator_ = clone(self.estimator).fit(safe_indexing(X, train), y[train])
        probs = self._probs(safe_indexing(X, kept))
        before, own = (x[np.arange(len(kept)), index[kept]] for x in _sums_before(probs))
        self.scores_ = np.sort(before + (1 - random.uniform(size=len(kept))) * own)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row.

        Args:
            X: Rows, as the classifier accepts them.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If the columns are not those of `fit`.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict(self._at(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The classifier's probabilities, a column for each of ``classes_``.

        Args:
            X: Rows, as the classifier accepts them.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If the columns are not those of `fit`.
        """
        check_is_fitted(self, "estimator_")
        return self._probs(self._at(X))

    def predict_set(self, X: Any, coverage: float | None = None) -> np.ndarray:
        """The prediction set of each row, as booleans (n, classes).

        Args:
            X: Rows, as the classifier accepts them.
            coverage: The coverage of the set; that of the constructor if None.

        Raises:
            NotFittedError: Before `fit`.
            TypeError: If `coverage` is not a number.
            ValueError: If the columns are not those of `fit`, or `coverage` is out of range or
                needs more calibration rows than there are.
        """
        probs = self.predict_proba(X)
        threshold = self.scores_[
            rank(len(self.scores_), coverage_of(coverage, self.coverage)) - 1
        ]
        before, own = _sums_before(probs)
        if self.randomize:
            u = check_random_state(self.random_state).uniform(size=(len(probs), 1))
            return before + (1 - u) * own <= threshold
        return before <= threshold

    def _probs(self, X: Any) -> np.ndarray:
        """Probabilities, with zeros for classes that are not in the training rows."""
        given = np.asarray(self.estimator_.predict_proba(X), float)
        found = np.zeros((len(given), len(self.classes_)))
        found[:, np.searchsorted(self.classes_, self.estimator_.classes_)] = given
        return found


def _sums_before(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each class, the sum of larger probabilities, and its own probability."""
    order = np.argsort(-probs, axis=1, kind="stable")
    ordered = np.take_along_axis(probs, order, axis=1)
    before = np.empty_like(probs)
    np.put_along_axis(before, order, np.cumsum(ordered, axis=1) - ordered, axis=1)
    return before, probs
