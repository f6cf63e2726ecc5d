"""Estimators: from a table to predictions with intervals, in three lines.

Estimators follow the scikit-learn interface: they are subclasses of its `BaseEstimator`, so
`clone`, grid search and cross-validation work; importing this subpackage imports scikit-learn.
They combine the other subpackages: `preprocessing` encodes tables, the model is a layer,
`infer` trains the members, and predictions are mixtures from `distributions`.

The conformal estimators wrap any other estimator and do not depend on the rest.

To add a field estimator, subclass `AbstractFieldEstimator` with its guide. To add an
observation model, add an entry in `_observation.py`.
"""

from ._bayesian_classifier import BayesianClassifier as BayesianClassifier
from ._bayesian_count_regressor import BayesianCountRegressor as BayesianCountRegressor
from ._bayesian_regressor import BayesianRegressor as BayesianRegressor
from ._conformal_interval import ConformalRegressor as ConformalRegressor
from ._conformal_set import ConformalClassifier as ConformalClassifier
from ._neural_field import (
    BayesianNeuralFieldMAP as BayesianNeuralFieldMAP,
    BayesianNeuralFieldMLE as BayesianNeuralFieldMLE,
    BayesianNeuralFieldVI as BayesianNeuralFieldVI,
)

__all__ = [
    "BayesianClassifier",
    "BayesianCountRegressor",
    "BayesianNeuralFieldMAP",
    "BayesianNeuralFieldMLE",
    "BayesianNeuralFieldVI",
    "BayesianRegressor",
    "ConformalClassifier",
    "ConformalRegressor",
]
