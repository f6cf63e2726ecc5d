"""Conditioners and hypernetworks."""

import equinox as eqx
import jax
import jax.numpy as jnp

from numpyro_bayeslayers import layers

from .case import Case, X

KEY = jax.random.key(0)
Z = 0.5 - X[:, :2]

LAYERS = {
    "BayesianConcatConditioner": Case(
        lambda n: layers.BayesianConcatConditioner.init(3, 2, name=n), (X, Z)
    ),
    "BayesianAffineModulation": Case(
        lambda n: layers.BayesianAffineModulation.init(3, 2, name=n), (X, Z)
    ),
    "BayesianHyperLinear": Case(
        lambda n: layers.BayesianHyperLinear.init(3, 2, 2, name=n), (X, Z)
    ),
    "ConditionedINR": Case(
        lambda n: layers.ConditionedINR.init(
            layers.BayesianSIREN.init(3, 4, 2, depth=3, first_omega=3.0, hidden_omega=2.0),
            conditioner_cls=layers.BayesianAffineModulation,
            cond_dim=2,
            key=KEY,
            name=n,
        ),
        (X, Z),
    ),
}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES = {
    "ConcatConditioner": Case(
        lambda n: layers.ConcatConditioner.init(3, 2, key=KEY), (X, Z)
    ),
    "AffineModulation": Case(
        lambda n: layers.AffineModulation.init(3, 2, key=KEY, init_scale=1.0), (X, Z)
    ),
    "FiLM": Case(lambda n: layers.FiLM.init(3, 2, key=KEY, init_scale=1.0), (X, Z)),
    "HyperLinear": Case(lambda n: layers.HyperLinear.init(3, 4, 2, key=KEY), (X, Z)),
    "HyperFourierFeatures": Case(
        lambda n: layers.HyperFourierFeatures(eqx.nn.MLP(2, 17, 4, 1, key=KEY), 3, 4, 2),
        (X, Z),
    ),
    "ConditionedRFFNet": Case(
        lambda n: layers.ConditionedRFFNet.init(
            feat=MODULES["HyperFourierFeatures"].make(n), out_features=2, key=KEY
        ),
        (X, Z),
    ),
    "HyperSIREN": Case(
        lambda n: layers.HyperSIREN(
            3, 4, 2, depth=3, cond_dim=2, parameter_net=jnp.tanh, key=KEY
        ),
        (X, Z),
    ),
}
