"""Layers: Equinox modules whose parameters are NumPyro sites.

Families are drawers (`layers/dense`, ...); the names are flat. To add a layer: its file in
its drawer, one export line there and here, one entry point in `pyproject.toml`, and one row
in its family's table, `tests/cases/<family>.py`. Laws, benchmarks and the API page follow from the export.
"""

from .._base import AbstractLayer as AbstractLayer, AbstractRowLayer as AbstractRowLayer
from ..basis import (
    fourier_features as fourier_features,
    interaction_features as interaction_features,
    seasonal_features as seasonal_features,
    seasonal_frequencies as seasonal_frequencies,
    standardize as standardize,
    unstandardize as unstandardize,
)
from .dense import (
    DenseDVI as DenseDVI,
    DenseFlipout as DenseFlipout,
    DenseHierarchical as DenseHierarchical,
    DenseLocalReparameterization as DenseLocalReparameterization,
    DenseNCP as DenseNCP,
    DenseReparameterization as DenseReparameterization,
    DenseVariational as DenseVariational,
    DenseVariationalDropout as DenseVariationalDropout,
    MCDropout as MCDropout,
    NCPContinuousPerturb as NCPContinuousPerturb,
    NCPNormalOutput as NCPNormalOutput,
)
from .fields import (
    BayesianNeuralField as BayesianNeuralField,
)

__all__ = [
    "AbstractLayer",
    "AbstractRowLayer",
    "BayesianNeuralField",
    "DenseDVI",
    "DenseFlipout",
    "DenseHierarchical",
    "DenseLocalReparameterization",
    "DenseNCP",
    "DenseReparameterization",
    "DenseVariational",
    "DenseVariationalDropout",
    "MCDropout",
    "NCPContinuousPerturb",
    "NCPNormalOutput",
    "fourier_features",
    "interaction_features",
    "seasonal_features",
    "seasonal_frequencies",
    "standardize",
    "unstandardize",
]
