"""Layers: Equinox modules whose parameters are NumPyro sites.

Families are drawers (`layers/dense`, ...); the names are flat. To add a layer: its file in
its drawer, one export line there and here, one entry point in `pyproject.toml`, and one row
in `tests/cases/layers.py`. Laws, benchmarks and the API page follow from the export.
"""

from .dense import DenseDVI as DenseDVI
from .dense import DenseFlipout as DenseFlipout
from .dense import DenseHierarchical as DenseHierarchical
from .dense import DenseLocalReparameterization as DenseLocalReparameterization
from .dense import DenseNCP as DenseNCP
from .dense import DenseReparameterization as DenseReparameterization
from .dense import DenseVariational as DenseVariational
from .dense import DenseVariationalDropout as DenseVariationalDropout
from .dense import MCDropout as MCDropout
from .dense import NCPContinuousPerturb as NCPContinuousPerturb
from .dense import NCPNormalOutput as NCPNormalOutput

__all__ = [
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
