"""For scientists: from a table to predictions with intervals, in three lines.

Estimators are scikit-learn's: derived from its `BaseEstimator`, so that `clone`, grid search
and cross-validation take them; importing this room imports scikit-learn. They put together what
the rooms below offer: tables are encoded by `preprocessing`, the model is a layer, members are
trained by `infer`, and predictions are mixtures of `distributions`.

The conformal ones go around any other estimator, and need nothing of the rest.

To add an estimator of fields: a subclass of `AbstractFieldEstimator` with its guide. To add
an observation model: one entry in `_observation.py`.
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
