"""Dense layers: one product of rows and weights, under priors and gradient estimators."""

from ._dvi import DenseDVI as DenseDVI
from ._flipout import DenseFlipout as DenseFlipout
from ._hierarchical import DenseHierarchical as DenseHierarchical
from ._local_reparameterization import (
    DenseLocalReparameterization as DenseLocalReparameterization,
)
from ._mc_dropout import MCDropout as MCDropout
from ._ncp import DenseNCP as DenseNCP
from ._ncp_output import NCPNormalOutput as NCPNormalOutput
from ._ncp_perturb import NCPContinuousPerturb as NCPContinuousPerturb
from ._reparameterization import DenseReparameterization as DenseReparameterization
from ._variational import DenseVariational as DenseVariational
from ._variational_dropout import DenseVariationalDropout as DenseVariationalDropout

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
