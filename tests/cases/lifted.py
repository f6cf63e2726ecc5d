"""Lifted modules of Equinox."""

import equinox as eqx
import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from numpyro_bayeslayers import layers

from .case import Case, X

KEY = jax.random.key(0)
MLP = eqx.nn.MLP(3, 2, 4, 1, key=KEY)
TABLE = {"*.weight": dist.Normal(0, 1), "layers.0.bias": None, "*.bias": constraints.real}

LAYERS = {
    "Lifted": Case(
        lambda n: layers.lift(MLP, TABLE, name=n),
        (X,),
        {"float64": "optimized parameters start from the module's arrays, in their type"},
    ),
    "LiftedLinear": Case(
        lambda n: layers.lift(
            eqx.nn.Linear(3, 2, key=KEY), {"*": dist.Normal(0, 1)}, name=n
        )
    ),
}
MODULES: dict[str, Case] = {}
