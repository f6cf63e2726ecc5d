"""Implicit ensembles."""

import jax
import numpyro.distributions as dist

from numpyro_bayeslayers import layers

from .case import Case

KEY = jax.random.key(0)
#: Two members, three rows each.
X = jax.random.normal(KEY, (2, 3, 4))
TOKENS = jax.random.normal(KEY, (2, 1, 3, 4))

AXIS = "the first axis of the input is that of the members"
MEMBERS = dict.fromkeys(("rows", "batch_axes"), AXIS)

LAYERS = {
    "DenseBatchEnsemble": Case(
        lambda n: layers.DenseBatchEnsemble(4, 3, 2, name=n), (X,), MEMBERS
    ),
    "DenseRank1": Case(
        lambda n: layers.DenseRank1(4, 3, 2, dist.Normal(1.0, 0.1), name=n), (X,), MEMBERS
    ),
    "LayerNormEnsemble": Case(
        lambda n: layers.LayerNormEnsemble(4, 2, name=n), (X,), MEMBERS
    ),
    "MultiHeadAttentionBatchEnsemble": Case(
        lambda n: layers.MultiHeadAttentionBatchEnsemble(2, 4, 2, name=n),
        (TOKENS,),
        MEMBERS,
    ),
    "MultiHeadAttentionBE": Case(
        lambda n: layers.MultiHeadAttentionBE(2, 4, 2, 3, 5, False, 0.5, 0.1, name=n),
        (TOKENS,),
        MEMBERS,
    ),
}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES = {
    "MIMO": Case(lambda n: layers.MIMO(2)),
    "Masksembles": Case(lambda n: layers.Masksembles(2, 2.0, 4, key=KEY), (X,)),
}
