"""Regression layers: terms of a model that are called as ``layer(name, data...)``.

A layer is made with its priors; it infers its shapes from the data, and the same instance
serves many names.
"""

from ._bilinear import (
    BilinearLayer as BilinearLayer,
    LowRankBilinearLayer as LowRankBilinearLayer,
)
from ._embedding import (
    EmbeddingLayer as EmbeddingLayer,
    RandomEffectsLayer as RandomEffectsLayer,
)
from ._factorization import FM3Layer as FM3Layer, FMLayer as FMLayer
from ._interaction import (
    InteractionLayer as InteractionLayer,
    LowRankInteractionLayer as LowRankInteractionLayer,
)
from ._linear import (
    AdaptiveLayer as AdaptiveLayer,
    FixedPriorLayer as FixedPriorLayer,
    InterceptLayer as InterceptLayer,
)
from ._random_walk import RandomWalkLayer as RandomWalkLayer

__all__ = [
    "AdaptiveLayer",
    "BilinearLayer",
    "EmbeddingLayer",
    "FM3Layer",
    "FMLayer",
    "FixedPriorLayer",
    "InteractionLayer",
    "InterceptLayer",
    "LowRankBilinearLayer",
    "LowRankInteractionLayer",
    "RandomEffectsLayer",
    "RandomWalkLayer",
]
