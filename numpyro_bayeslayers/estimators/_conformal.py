"""What conformal estimators share: rows kept for calibration, and ranks among their scores."""

import math
import warnings
from typing import Any

import numpy as np

from .. import _checks
from ._scikit_learn import (
    BaseEstimator,
    MetaEstimatorMixin,
    check_consistent_length,
    check_random_state,
    get_tags,
    validate_data,
)


class AbstractConformal(MetaEstimatorMixin, BaseEstimator):
    """An estimator around another one, which looks at the data."""

    estimator: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # What the tables may hold is for the estimator to say.
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.allow_nan, tags.input_tags.sparse = inner.allow_nan, inner.sparse
        tags.input_tags.string = inner.string
        tags.non_deterministic = False
        return tags

    def _look(self, X: Any, y: Any) -> Any:
        """Note the columns of `X`, and give it as something with rows."""
        X = _as_rows(X)
        validate_data(self, X, skip_check_array=True)
        if y is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: intervals and sets are "
                "calibrated on it."
            )
        check_consistent_length(X, y)
        return X

    def _at(self, X: Any) -> Any:
        """Columns are those of `fit`."""
        X = _as_rows(X)
        validate_data(self, X, skip_check_array=True, reset=False)
        return X


def _as_rows(X: Any) -> Any:
    """Tables, arrays and lists as they are; what else there is as an array."""
    if hasattr(X, "tocsr"):
        return X.tocsr()  # the sparse form that has rows
    found = X if hasattr(X, "shape") or isinstance(X, (list, tuple)) else np.asarray(X)
    if isinstance(found, np.ndarray) and found.ndim == 1:
        raise ValueError(
            "`X` must have an axis of rows and one of columns, got one axis. Reshape your data "
            "by `X.reshape(-1, 1)` if it has one column, by `X.reshape(1, -1)` if one row."
        )
    return found


def parted(rows: int, share: Any, seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows to calibrate, drawn at random.

    Raises:
        ValueError: If there are too few rows, or `share` is out of range.
    """
    share = _checks.share("calibration_size", share)
    count = math.ceil(share * rows)
    if rows < 2 or count >= rows:
        raise ValueError(
            f"Rows must be parted into some to fit and some to calibrate: n_samples={rows} "
            f"are too few for `calibration_size`={share:g}."
        )
    order = check_random_state(seed).permutation(rows)
    return np.sort(order[count:]), np.sort(order[:count])


def rank(count: int, coverage: float) -> int:
    """Which of `count` sorted scores a new one is below with probability `coverage`.

    Raises:
        ValueError: If it would have to be above them all.
    """
    # Rounding must not push a whole number to the next one.
    found = math.ceil((count + 1) * coverage * (1 - 1e-12))
    if found > count:
        needed = math.ceil(coverage / (1 - coverage) * (1 - 1e-12))
        raise ValueError(
            f"`coverage` of {coverage:g} needs at least {needed} rows for calibration, got "
            f"{count}. Give more rows, or ask for less."
        )
    return found


def warn_of_few(count: int, coverage: float) -> None:
    """Say in time that intervals of this coverage will be refused."""
    try:
        rank(count, coverage)
    except ValueError as error:
        warnings.warn(str(error), stacklevel=3)


def coverage_of(given: Any, default: Any) -> float:
    """The probability that is asked for."""
    return _checks.share("coverage", default if given is None else given)
