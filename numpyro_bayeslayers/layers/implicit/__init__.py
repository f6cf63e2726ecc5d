"""Implicit ensembles: members within one network that share most of its weights."""

from ._attention import (
    MultiHeadAttentionBatchEnsemble as MultiHeadAttentionBatchEnsemble,
    MultiHeadAttentionBE as MultiHeadAttentionBE,
)
from ._batch_ensemble import DenseBatchEnsemble as DenseBatchEnsemble
from ._layer_norm import LayerNormEnsemble as LayerNormEnsemble
from ._masksembles import Masksembles as Masksembles
from ._members import tile_members as tile_members
from ._mimo import MIMO as MIMO
from ._observe import observe_members as observe_members
from ._rank1 import DenseRank1 as DenseRank1

__all__ = [
    "MIMO",
    "DenseBatchEnsemble",
    "DenseRank1",
    "LayerNormEnsemble",
    "Masksembles",
    "MultiHeadAttentionBE",
    "MultiHeadAttentionBatchEnsemble",
    "observe_members",
    "tile_members",
]
