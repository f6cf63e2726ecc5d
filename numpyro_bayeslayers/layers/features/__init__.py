"""Random and fixed features, which turn Gaussian processes into linear models."""

from ._arc_cosine import ArcCosineFourierFeatures as ArcCosineFourierFeatures
from ._deep_vssgp import DeepVSSGP as DeepVSSGP
from ._hsgp import HSGPFeatures as HSGPFeatures
from ._kernel import MaternKernel as MaternKernel, RBFKernel as RBFKernel
from ._laplace import (
    LaplaceCosineFeatures as LaplaceCosineFeatures,
    LaplaceFourierFeatures as LaplaceFourierFeatures,
)
from ._matern import (
    MaternCosineFeatures as MaternCosineFeatures,
    MaternFourierFeatures as MaternFourierFeatures,
)
from ._orthogonal import OrthogonalRandomFeatures as OrthogonalRandomFeatures
from ._periodic import PeriodicKernel as PeriodicKernel
from ._random_kitchen_sinks import RandomKitchenSinks as RandomKitchenSinks
from ._rbf import (
    RBFCosineFeatures as RBFCosineFeatures,
    RBFFourierFeatures as RBFFourierFeatures,
)
from ._variational import VariationalFourierFeatures as VariationalFourierFeatures

__all__ = [
    "ArcCosineFourierFeatures",
    "DeepVSSGP",
    "HSGPFeatures",
    "LaplaceCosineFeatures",
    "LaplaceFourierFeatures",
    "MaternCosineFeatures",
    "MaternFourierFeatures",
    "MaternKernel",
    "OrthogonalRandomFeatures",
    "PeriodicKernel",
    "RBFCosineFeatures",
    "RBFFourierFeatures",
    "RBFKernel",
    "RandomKitchenSinks",
    "VariationalFourierFeatures",
]
