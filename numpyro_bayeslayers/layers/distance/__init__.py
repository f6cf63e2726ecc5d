"""Distance and class noise: layers whose uncertainty grows with the distance from the data.

They comprise last layers and the layers below them, randomized prior functions, and label noise
that differs between rows.
"""

from ._epinet import EpinetLayer as EpinetLayer
from ._factor_noise import (
    MCSigmoidDenseFA as MCSigmoidDenseFA,
    MCSoftmaxDenseFA as MCSoftmaxDenseFA,
)
from ._laplace_covariance import (
    LaplaceRandomFeatureCovariance as LaplaceRandomFeatureCovariance,
)
from ._last_layer import (
    VariationalLastLayer as VariationalLastLayer,
    VariationalLastLayerClassifier as VariationalLastLayerClassifier,
)
from ._prior_function import (
    PriorFunction as PriorFunction,
    prior_function as prior_function,
)
from ._random_feature_gp import (
    RandomFeatureGaussianProcess as RandomFeatureGaussianProcess,
)
from ._spectral import SpectralNormalization as SpectralNormalization

__all__ = [
    "EpinetLayer",
    "LaplaceRandomFeatureCovariance",
    "MCSigmoidDenseFA",
    "MCSoftmaxDenseFA",
    "PriorFunction",
    "RandomFeatureGaussianProcess",
    "SpectralNormalization",
    "VariationalLastLayer",
    "VariationalLastLayerClassifier",
    "prior_function",
]
