"""Fields: networks over space and time, and the encodings of their inputs."""

from ._bayesian_siren import BayesianSIREN as BayesianSIREN
from ._features import (
    FourierFeatures as FourierFeatures,
    InteractionFeatures as InteractionFeatures,
    SeasonalFeatures as SeasonalFeatures,
    Standardization as Standardization,
)
from ._geographic import (
    Cartesian3DEncoder as Cartesian3DEncoder,
    CyclicEncoder as CyclicEncoder,
    Deg2Rad as Deg2Rad,
    LonLatScale as LonLatScale,
    SphericalHarmonicEncoder as SphericalHarmonicEncoder,
)
from ._neural_field import BayesianNeuralField as BayesianNeuralField
from ._siren import SIREN as SIREN, SirenDense as SirenDense
