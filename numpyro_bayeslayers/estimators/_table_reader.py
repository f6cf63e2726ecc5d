"""Column handling of table estimators, in a fit and in later calls."""

from typing import Any

import numpy as np

from ._scikit_learn import BaseEstimator, check_is_fitted, validate_data
from ._table_rows import Columns, encode_columns, has_categories, learn_columns


class AbstractTableReader(BaseEstimator):
    """An estimator that stores the columns of its fit."""

    columns_: Columns

    def _features(self, X: Any, *, reset: bool) -> np.ndarray:
        """Rows as numbers in double precision, before standardization."""
        known = None if reset else self.columns_
        if has_categories(X) and (known is None or known.schema is not None):
            validate_data(self, X, skip_check_array=True, reset=reset)
            if known is not None:
                return encode_columns(known, X)
            self.columns_, x = learn_columns(X)
            return x
        if known is not None and known.schema is not None:
            if hasattr(X, "columns"):
                validate_data(self, X, skip_check_array=True, reset=False)
                return encode_columns(known, X)
            raise ValueError(
                "`X` must be a table with the columns of `fit`, "
                f"{', '.join(map(str, known.names or ()))}, got {type(X).__name__}."
            )
        x = validate_data(self, X, dtype=np.float64, reset=reset, ensure_min_samples=1)
        if reset:
            nothing = np.zeros(0)
            self.columns_ = Columns(None, (), None, (), nothing, nothing)
        return x

    def _inputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "draws_")
        return self.columns_.standardized(self._features(X, reset=False))
