"""One row for each public distribution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpyro.distributions as dist

from numpyro_bayeslayers import distributions


class DistributionCase(NamedTuple):
    """How to make a distribution, at which parameters, which laws it is excused from."""

    make: Callable[..., Any]
    params: dict[str, Any] = {}
    excused: dict[str, str] = {}


WEIGHT = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
ROWS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)

DISTRIBUTIONS = {
    "DenseNormal": DistributionCase(
        distributions.DenseNormal,
        {
            "x": ROWS,
            "weight_loc": WEIGHT,
            "weight_scale": np.exp(WEIGHT),
            "bias_loc": WEIGHT[0],
            "bias_scale": np.exp(WEIGHT[0]),
        },
    ),
    "EnsembleMixture": DistributionCase(
        lambda loc, scale: distributions.EnsembleMixture(dist.Normal(loc, scale)),
        {
            "loc": np.array([[0.0, 1.0], [2.0, 0.0], [-1.0, 5.0]], np.float32),
            "scale": np.array([[1.0], [0.5], [2.0]], np.float32),
        },
    ),
    "HaarOrthogonal": DistributionCase(
        lambda: distributions.HaarOrthogonal(3),
        excused=dict.fromkeys(
            ("density", "density_gradients"), "has no map from unconstrained numbers"
        ),
    ),
    "Horseshoe": DistributionCase(
        distributions.Horseshoe, {"scale": np.array([0.1, 2.0], np.float32)}
    ),
    "IndependentColumns": DistributionCase(
        lambda lengthscale: distributions.IndependentColumns(
            distributions.RBFSpectralDensity(lengthscale, 2), 3
        ),
        {"lengthscale": np.array([[0.5, 1.0], [2.0, 1.5]], np.float32)},
    ),
    "LaplaceSpectralDensity": DistributionCase(
        lambda lengthscale: distributions.LaplaceSpectralDensity(lengthscale, 2),
        {"lengthscale": np.array([[0.5], [2.0]], np.float32)},
    ),
    "MaternSpectralDensity": DistributionCase(
        lambda nu, lengthscale: distributions.MaternSpectralDensity(nu, lengthscale, 3),
        {
            "nu": np.array([0.5, 2.5], np.float32),
            "lengthscale": np.array([0.5, 1.0, 2.0], np.float32),
        },
    ),
    "RBFSpectralDensity": DistributionCase(
        lambda lengthscale: distributions.RBFSpectralDensity(lengthscale, 3),
        {"lengthscale": np.array([[0.5, 1.0, 2.0], [1.0, 1.0, 0.1]], np.float32)},
    ),
    "RegularizedHorseshoe": DistributionCase(
        distributions.RegularizedHorseshoe,
        {
            "scale": np.array([0.1, 2.0], np.float32),
            "slab_scale": np.float32(1.5),
            "slab_df": np.array([4.0, 7.0], np.float32),
        },
    ),
    "SpikeAndSlab": DistributionCase(
        distributions.SpikeAndSlab,
        {
            "inclusion": np.array([0.3, 0.8], np.float32),
            "slab_scale": np.float32(2.0),
            "spike_scale": np.array([0.02, 0.5], np.float32),
        },
    ),
}
