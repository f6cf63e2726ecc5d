"""Layers: Equinox modules whose parameters are NumPyro sites.

Families are drawers (`layers/dense`, ...); the names are flat. To add a layer: its file in
its drawer, one export line there and here, one entry point in `pyproject.toml`, and one row
in its family's table, `tests/cases/<family>.py`. Laws, benchmarks and the API page follow from the export.
"""

from .._base import AbstractLayer as AbstractLayer, AbstractRowLayer as AbstractRowLayer
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

__all__ = [
    "AbstractLayer",
    "AbstractRowLayer",
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
]
