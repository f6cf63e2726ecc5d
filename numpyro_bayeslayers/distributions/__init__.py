"""Distributions that the layers need and NumPyro does not have.

To add one: a file named after it, one export line here, one entry point in
`pyproject.toml`, and its tests in `tests/distributions`.
"""

from ._columns import IndependentColumns
from ._ensemble_mixture import EnsembleMixture
from ._haar_orthogonal import HaarOrthogonal
from ._spectral_density import (
    LaplaceSpectralDensity,
    MaternSpectralDensity,
    RBFSpectralDensity,
)

__all__ = [
    "EnsembleMixture",
    "HaarOrthogonal",
    "IndependentColumns",
    "LaplaceSpectralDensity",
    "MaternSpectralDensity",
    "RBFSpectralDensity",
]
