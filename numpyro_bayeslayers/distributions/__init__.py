"""Distributions that the layers need and NumPyro lacks.

A new distribution needs a file named after it, one export line here, one entry point in
`pyproject.toml`, and tests in `tests/distributions`.
"""

from ._columns import IndependentColumns
from ._dense_normal import DenseNormal
from ._ensemble_mixture import EnsembleMixture
from ._haar_orthogonal import HaarOrthogonal
from ._horseshoe import Horseshoe
from ._regularized_horseshoe import RegularizedHorseshoe
from ._spectral_density import (
    LaplaceSpectralDensity,
    MaternSpectralDensity,
    RBFSpectralDensity,
)
from ._spike_and_slab import SpikeAndSlab

__all__ = [
    "DenseNormal",
    "EnsembleMixture",
    "HaarOrthogonal",
    "Horseshoe",
    "IndependentColumns",
    "LaplaceSpectralDensity",
    "MaternSpectralDensity",
    "RBFSpectralDensity",
    "RegularizedHorseshoe",
    "SpikeAndSlab",
]
