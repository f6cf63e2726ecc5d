"""Conformal prediction intervals for any estimator."""

from typing import Any, Literal

import numpy as np

from .. import _checks
from ._conformal import AbstractConformal, coverage_of, parted, rank, warn_of_few
from ._scikit_learn import (
    KFold,
    RegressorMixin,
    check_is_fitted,
    check_random_state,
    clone,
    column_or_1d,
    num_rows,
    safe_indexing,
)

# The number of bounds computed together: rows to predict times rows of the fit.
_BLOCK = 2**22


class ConformalRegressor(RegressorMixin, AbstractConformal):
    r"""Prediction intervals with guaranteed coverage for any scikit-learn estimator.

    If a new row comes from the same distribution as those of the fit, its outcome lies in the
    interval with at least the nominal probability, for any distribution and any estimator:

    $$P(l(x) \le y \le u(x)) \ge p$$

    on average over rows and fits (marginal coverage, not conditional on the row). The guarantee
    does not hold for time series or grouped rows.

    - ``"split"`` holds out rows for calibration; the interval is the prediction plus and minus
      the $\lceil (n + 1) p \rceil$-th smallest of their absolute residuals: it has the same width
      everywhere.
    - ``"cv+"`` uses all rows: each row is predicted by a fit without its fold. It takes `cv` + 1
      fits; $2 p - 1$ is guaranteed (slightly less for few folds); the actual coverage is about $p$.
    - ``"quantile"`` widens or narrows the interval of an estimator that has one, so that its width
      varies between rows as the estimator predicts. It accepts estimators with
      ``predict_interval(X, coverage)``, like ours, and scikit-learn's with a quantile loss
      (`QuantileRegressor`, gradient boosting with ``loss="quantile"``), which are fitted
      at three levels.

    Args:
        estimator: An estimator with `fit` and `predict`.
        method: ``"split"``, ``"cv+"`` or ``"quantile"``.
        coverage: The coverage of the interval, above 0 and below 1. `predict_interval` accepts
            other values too, unless ``"quantile"`` was fitted at fixed levels.
        calibration_size: The fraction of rows used for calibration, above 0 and below 1; not
            for ``"cv+"``.
        cv: The number of folds for ``"cv+"``, at least 2.
        random_state: An integer, a NumPy generator or None, for the split of the rows.

    Example:
        >>> import numpy as np
        >>> from sklearn.linear_model import LinearRegression
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(400, 1))
        >>> y = X[:, 0] + rng.normal(size=400)
        >>> conformal = ConformalRegressor(LinearRegression(), random_state=0).fit(X, y)
        >>> low, high = conformal.predict_interval(X, coverage=0.8)
        >>> bool(0.75 < np.mean((low <= y) & (y <= high)) < 0.85)
        True

    References:
        Lei et al. (2018), "Distribution-free predictive inference for regression", Journal
        of the American Statistical Association 113, theorem 2.2 (split); Barber et al.
        (2021), "Predictive inference with the jackknife+", Annals of Statistics 49, section
        3.1 (CV+); Romano, Patterson, Candès (2019), "Conformalized quantile regression",
        NeurIPS.
    """

    def __init__(
        self,
        estimator: Any,
        method: Literal["split", "cv+", "quantile"] = "split",
        *,
        coverage: float = 0.9,
        calibration_size: float = 0.25,
        cv: int = 5,
        random_state: Any = None,
    ) -> None:
        # As scikit-learn has it: settings are kept as they are given, and looked at by `fit`.
        self.estimator = estimator
        self.method = method
        self.coverage = coverage
        self.calibration_size = calibration_size
        self.cv = cv
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "ConformalRegressor":
        """Fit the estimator, and calibrate its intervals on rows not used to fit it.

        Args:
            X: Rows, as the wrapped estimator accepts them.
            y: One finite number for each row.

        Returns:
            This estimator, with the attributes ``estimator_``, the fitted estimator, and
            ``scores_``, the sorted distances of outcomes from the prediction or beyond the
            interval, in units of `y`.

        Raises:
            TypeError: If a setting has the wrong type.
            ValueError: If a setting is out of range, rows are too few, `y` is not one finite
                number for each row, or the estimator has no intervals for ``"quantile"``.
        """
        method = _checks.one_of("method", self.method, ("split", "cv+", "quantile"))
        coverage = _checks.share("coverage", self.coverage)
        X = self._look(X, y)
        rows = num_rows(X)
        y = column_or_1d(y, dtype=float, warn=True)
        _checks.no_nan("y", y)
        if method == "cv+":
            return self._fit_folds(X, y, rows)
        train, kept = parted(rows, self.calibration_size, self.random_state)
        warn_of_few(len(kept), coverage)
        parts = safe_indexing(X, train), y[train]
        at, y = safe_indexing(X, kept), y[kept]
        if method == "quantile":
            self.bounds_ = _Bounds.of(self.estimator, coverage).fit(*parts)
            self.estimator_ = self.bounds_.center
            low, high = self.bounds_.at(at, coverage)
            # The scores depend on the coverage: those of another coverage are computed on
            # request.
            self._kept = at, y
            self.scores_ = np.sort(np.maximum(low - y, y - high))
            return self
        self.estimator_ = clone(self.estimator).fit(*parts)
        self.scores_ = np.sort(np.abs(y - _predicted(self.estimator_, at)))
        return self

    def _fit_folds(self, X: Any, y: np.ndarray, rows: int) -> "ConformalRegressor":
        folds = _checks.integer("cv", self.cv)
        if not 2 <= folds <= rows:
            raise ValueError(
                f"`cv` must be from 2 to the number of rows, n_samples={rows}, got {folds}."
            )
        warn_of_few(rows, self.coverage)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        self.folds_, self.fold_ = [], np.empty(rows, int)
        residuals = np.empty(rows)
        for i, (train, kept) in enumerate(
            KFold(folds, shuffle=True, random_state=seed).split(y)
        ):
            member = clone(self.estimator).fit(safe_indexing(X, train), y[train])
            self.folds_.append(member)
            self.fold_[kept] = i
            residuals[kept] = np.abs(y[kept] - _predicted(member, safe_indexing(X, kept)))
        self.residuals_ = residuals
        self.scores_ = np.sort(residuals)
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The estimator's prediction; the median for ``"quantile"`` with a scikit-learn estimator.

        Args:
            X: Rows, as the wrapped estimator accepts them.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If the columns are not those of `fit`.
        """
        check_is_fitted(self, "estimator_")
        return _predicted(self.estimator_, self._at(X))

    def predict_interval(
        self, X: Any, coverage: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The lower and the upper bound of the outcome in each row.

        Args:
            X: Rows, as the wrapped estimator accepts them.
            coverage: The coverage of the interval; that of the constructor if None.

        Raises:
            NotFittedError: Before `fit`.
            TypeError: If `coverage` is not a number.
            ValueError: If the columns are not those of `fit`, or `coverage` is out of range,
                needs more calibration rows than there are, or was not fitted.
        """
        check_is_fitted(self, "estimator_")
        X = self._at(X)
        coverage = coverage_of(coverage, self.coverage)
        k = rank(len(self.scores_), coverage)
        if hasattr(self, "folds_"):
            return self._by_folds(X, k)
        if not hasattr(self, "bounds_"):
            center, room = _predicted(self.estimator_, X), self.scores_[k - 1]
            return center - room, center + room
        scores = self.scores_
        if coverage != self.bounds_.coverage:
            self.bounds_.check(coverage)
            low, high = self.bounds_.at(self._kept[0], coverage)
            scores = np.sort(np.maximum(low - self._kept[1], self._kept[1] - high))
        low, high = self.bounds_.at(X, coverage)
        low, high = low - scores[k - 1], high + scores[k - 1]
        # A negative score may reverse the ends of a narrow interval, which then becomes its
        # center.
        middle = (low + high) / 2
        return np.minimum(low, middle), np.maximum(high, middle)

    def _by_folds(self, X: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        each = np.stack([_predicted(member, X) for member in self.folds_])
        rows, count = len(self.residuals_), each.shape[1]
        low, high = np.empty(count), np.empty(count)
        size = max(1, _BLOCK // rows)
        for start in range(0, count, size):
            at = slice(start, start + size)
            center = each[self.fold_, at]
            below, above = (
                center - self.residuals_[:, None],
                center + self.residuals_[:, None],
            )
            # The k-th smallest upper bound, and the k-th largest lower one.
            high[at] = np.partition(above, k - 1, axis=0)[k - 1]
            low[at] = np.partition(below, rows - k, axis=0)[rows - k]
        return low, high


class _Bounds:
    """The lower and upper bound, from one estimator with intervals or from one for each bound.

    Args:
        members: One estimator, or those of the lower bound, the upper bound and the median.
        coverage: The coverage for which they were fitted.
    """

    def __init__(self, members: list[Any], coverage: float) -> None:
        self.members = members
        self.coverage = coverage

    @classmethod
    def of(cls, estimator: Any, coverage: float) -> "_Bounds":
        if hasattr(estimator, "predict_interval"):
            return cls([clone(estimator)], coverage)
        settings = estimator.get_params(deep=False)
        name = "quantile" if "quantile" in settings else "alpha"
        is_quantile = settings.get("loss", "quantile") == "quantile"
        if (
            name not in settings
            or (name == "alpha" and "loss" not in settings)
            or not is_quantile
        ):
            raise ValueError(
                '`method`="quantile" needs an estimator with `predict_interval(X, coverage)`, '
                f"or a scikit-learn estimator with a quantile loss, got {estimator!r}. Set its "
                '`loss="quantile"`, or use `method`="split".'
            )
        levels = (1 - coverage) / 2, (1 + coverage) / 2, 0.5
        return cls([clone(estimator).set_params(**{name: p}) for p in levels], coverage)

    @property
    def center(self) -> Any:
        return self.members[-1]

    def fit(self, X: Any, y: np.ndarray) -> "_Bounds":
        self.members = [member.fit(X, y) for member in self.members]
        return self

    def check(self, coverage: float) -> None:
        if len(self.members) > 1 and coverage != self.coverage:
            raise ValueError(
                f"`coverage` must be {self.coverage:g}, as in `fit`: the estimator was fitted "
                f"at its two quantile levels. Fit another one with `coverage`={coverage:g}."
            )

    def at(self, X: Any, coverage: float) -> tuple[np.ndarray, np.ndarray]:
        if len(self.members) > 1:
            low, high = (_predicted(member, X) for member in self.members[:2])
        else:
            low, high = (
                np.asarray(b, float) for b in self.members[0].predict_interval(X, coverage)
            )
        return low, high


def _predicted(estimator: Any, X: Any) -> np.ndarray:
    """Predictions, checked to be one number per row."""
    found = np.asarray(estimator.predict(X), float)
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
