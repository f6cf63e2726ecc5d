"""The parts of scikit-learn that are used, or an error that says what to install."""

try:
    from sklearn.base import (
        BaseEstimator as BaseEstimator,
        ClassifierMixin as ClassifierMixin,
        MetaEstimatorMixin as MetaEstimatorMixin,
        RegressorMixin as RegressorMixin,
        clone as clone,
    )
    from sklearn.model_selection import KFold as KFold
    from sklearn.utils import (
        _safe_indexing as safe_indexing,
        check_random_state as check_random_state,
        get_tags as get_tags,
    )
    from sklearn.utils.multiclass import check_classification_targets as check_classes
    from sklearn.utils.validation import (
        _check_sample_weight as check_sample_weight,
        _num_samples as num_rows,
        check_consistent_length as check_consistent_length,
        check_is_fitted as check_is_fitted,
        column_or_1d as column_or_1d,
        validate_data as validate_data,
    )
except ImportError as error:
    raise ImportError(
        "`numpyro_bayeslayers.estimators` needs scikit-learn and pandas: pip install "
        "'numpyro-bayeslayers[estimators]'."
    ) from error

__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "KFold",
    "MetaEstimatorMixin",
    "RegressorMixin",
    "check_classes",
    "check_consistent_length",
    "check_is_fitted",
    "check_random_state",
    "check_sample_weight",
    "clone",
    "column_or_1d",
    "get_tags",
    "num_rows",
    "safe_indexing",
    "validate_data",
]
