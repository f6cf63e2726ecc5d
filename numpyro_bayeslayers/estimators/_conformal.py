"""Base class of conformal estimators: calibration rows, and ranks among their scores."""

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
    """A conformal estimator that wraps another estimator."""

    estimator: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # The wrapped estimator decides what data is allowed.
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.allow_nan, tags.input_tags.sparse = inner.allow_nan, inner.sparse
        tags.input_tags.string = inner.string
        tags.non_deterministic = False
        return tags

    def _look(self, X: Any, y: Any) -> Any:
        """Record the columns of `X`, and return it in a form with rows."""
        X = _as_rows(X)
        validate_data(self, X, skip_check_array=True)
        if y is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: it is needed for "
                "calibration."
            )
        check_consistent_length(X, y)
        return X

    def _at(self, X: Any) -> Any:
        """Check that the columns are those of `fit`."""
        X = _as_rows(X)
        validate_data(self, X, skip_check_array=True, reset=False)
        return X


def _as_rows(X: Any) -> Any:
    """Tables, arrays and lists as they are; anything else as an array."""
    if hasattr(X, "tocsr"):
        return X.tocsr()  # the sparse format that can be indexed by rows
    found = X if hasattr(X, "shape") or isinstance(X, (list, tuple)) else np.asarray(X)
    if isinstance(found, np.ndarray) and found.ndim == 1:
        raise ValueError(
            "`X` must have two axes, rows and columns, got one. Reshape your data with "
            "`X.reshape(-1, 1)` if it is one column, or `X.reshape(1, -1)` if it is one row."
        )
    return found


def parted(rows: int, share: Any, seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """A random split into rows to fit and rows to calibrate.

    Raises:
        ValueError: If there are too few rows, or `share` is out of range.
    """
    share = _checks.share("calibration_size", share)
    count = math.ceil(share * rows)
    if rows < 2 or count >= rows:
        raise ValueError(
            f"Rows are split into some to fit and some to calibrate: n_samples={rows} is too "
            f"small for `calibration_size`={share:g}."
        )
    order = check_random_state(seed).permutation(rows)
    return np.sort(order[count:]), np.sort(order[:count])


def rank(count: int, coverage: float) -> int:
    """The rank among `count` scores that a new score does not exceed with probability `coverage`.

    Raises:
        ValueError: If the rank exceeds `count`.
    """
    # Rounding must not raise an integer to the next one.
    found = math.ceil((count + 1) * coverage * (1 - 1e-12))
    if found > count:
        needed = math.ceil(coverage / (1 - coverage) * (1 - 1e-12))
        raise ValueError(
            f"`coverage` of {coverage:g} needs at least {needed} rows for calibration, got "
            f"{count}. Use more rows, or a lower coverage."
        )
    return found


def warn_of_few(count: int, coverage: float) -> None:
    """Warn in `fit` that intervals of this coverage will not be available."""
    try:
        rank(count, coverage)
    except ValueError as error:
        warnings.warn(str(error), stacklevel=3)


def coverage_of(given: Any, default: Any) -> float:
    """The requested coverage, or the default."""
    return _checks.share("coverage", default if given is None else given)
