"""Regression layers: terms of a model that are called as ``layer(name, data...)``.

A layer is constructed with its priors and infers its shapes from the data. One instance can be
used under several names.
"""

from ._attention import AttentionLayer as AttentionLayer
from ._autoregressive import AR1Layer as AR1Layer
from ._bilinear import (
    BilinearLayer as BilinearLayer,
    LowRankBilinearLayer as LowRankBilinearLayer,
)
from ._bym2 import BYM2Layer as BYM2Layer
from ._embedding import (
    EmbeddingLayer as EmbeddingLayer,
    RandomEffectsLayer as RandomEffectsLayer,
)
from ._factorization import FM3Layer as FM3Layer, FMLayer as FMLayer
from ._fixed_effects import FixedEffectsLayer as FixedEffectsLayer
from ._gaussian_process import GaussianProcessEffectsLayer as GaussianProcessEffectsLayer
from ._horseshoe import (
    HorseshoeInteractionLayer as HorseshoeInteractionLayer,
    HorseshoeLayer as HorseshoeLayer,
    expected_sparsity as expected_sparsity,
)
from ._inclusion import inclusion_probabilities as inclusion_probabilities
from ._interaction import (
    InteractionLayer as InteractionLayer,
    LowRankInteractionLayer as LowRankInteractionLayer,
)
from ._linear import (
    AdaptiveLayer as AdaptiveLayer,
    FixedPriorLayer as FixedPriorLayer,
    InterceptLayer as InterceptLayer,
)
from ._mixture import MixtureLayer as MixtureLayer
from ._monotone import MonotoneLayer as MonotoneLayer
from ._multi_membership import MultiMembershipLayer as MultiMembershipLayer
from ._p_spline import PSplineLayer as PSplineLayer
from ._r2d2 import R2D2Layer as R2D2Layer
from ._random_walk import RandomWalkLayer as RandomWalkLayer
from ._seasonal import SeasonalEffectsLayer as SeasonalEffectsLayer
from ._slopes import RandomSlopesLayer as RandomSlopesLayer
from ._spike_and_slab import SpikeAndSlabLayer as SpikeAndSlabLayer
from ._spline import SplineLayer as SplineLayer
from ._state_space import (
    LocalTrendLayer as LocalTrendLayer,
    SeasonalStateLayer as SeasonalStateLayer,
)
from ._tensor_smooth import TensorSmoothLayer as TensorSmoothLayer

__all__ = [
    "AR1Layer",
    "AdaptiveLayer",
    "AttentionLayer",
    "BYM2Layer",
    "BilinearLayer",
    "EmbeddingLayer",
    "FM3Layer",
    "FMLayer",
    "FixedEffectsLayer",
    "FixedPriorLayer",
    "GaussianProcessEffectsLayer",
    "HorseshoeInteractionLayer",
    "HorseshoeLayer",
    "InteractionLayer",
    "InterceptLayer",
    "LocalTrendLayer",
    "LowRankBilinearLayer",
    "LowRankInteractionLayer",
    "MixtureLayer",
    "MonotoneLayer",
    "MultiMembershipLayer",
    "PSplineLayer",
    "R2D2Layer",
    "RandomEffectsLayer",
    "RandomSlopesLayer",
    "RandomWalkLayer",
    "SeasonalEffectsLayer",
    "SeasonalStateLayer",
    "SpikeAndSlabLayer",
    "SplineLayer",
    "TensorSmoothLayer",
    "expected_sparsity",
    "inclusion_probabilities",
]
