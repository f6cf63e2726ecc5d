"""Pure functions of arrays from which layers are built, without sites or state.

A new function needs a file named after the idea, one export line here, and a test against an
independent computation in `tests/basis`.
"""

from ._fourier import fourier_features as fourier_features
from ._geographic import (
    cyclic_encode as cyclic_encode,
    deg2rad as deg2rad,
    lonlat_scale as lonlat_scale,
    lonlat_to_cartesian3d as lonlat_to_cartesian3d,
    spherical_harmonic_encode as spherical_harmonic_encode,
)
from ._interaction import interaction_features as interaction_features
from ._laplacian import (
    laplacian_eigenfunctions as laplacian_eigenfunctions,
    laplacian_frequencies as laplacian_frequencies,
)
from ._mean_field import mean_field_logits as mean_field_logits
from ._moments import relu_moments as relu_moments
from ._pairwise import pairwise_interactions as pairwise_interactions
from ._seasonal import (
    seasonal_features as seasonal_features,
    seasonal_frequencies as seasonal_frequencies,
)
from ._spline import bspline_basis as bspline_basis, make_knots as make_knots
from ._standardization import standardize as standardize, unstandardize as unstandardize
from ._trigonometric import (
    arc_cosine_features as arc_cosine_features,
    paired_features as paired_features,
    phased_features as phased_features,
)

__all__ = [
    "arc_cosine_features",
    "bspline_basis",
    "cyclic_encode",
    "deg2rad",
    "fourier_features",
    "interaction_features",
    "laplacian_eigenfunctions",
    "laplacian_frequencies",
    "lonlat_scale",
    "lonlat_to_cartesian3d",
    "make_knots",
    "mean_field_logits",
    "paired_features",
    "pairwise_interactions",
    "phased_features",
    "relu_moments",
    "seasonal_features",
    "seasonal_frequencies",
    "spherical_harmonic_encode",
    "standardize",
    "unstandardize",
]
