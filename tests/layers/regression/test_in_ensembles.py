"""Terms inside of an ensemble: each member is the term by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import ensemble

X = np.random.default_rng(0).uniform(-1, 1, (6, 3))
GROUP = np.array([0, 2, 3, 1, 0, 3])
TERMS = {
    "PSplineLayer": lambda: layers.PSplineLayer()("a", X[:, 0], np.linspace(-3, 3, 13)),
    "BYM2Layer": lambda: layers.BYM2Layer(np.ones((4, 4)) - np.eye(4))("a", GROUP),
    "LocalTrendLayer": lambda: layers.LocalTrendLayer()("a", GROUP, 4),
    "SeasonalStateLayer": lambda: layers.SeasonalStateLayer(3)("a", GROUP, 4),
    "TensorSmoothLayer": lambda: layers.TensorSmoothLayer()("a", X[:, :2], num_basis=4),
    "MixtureLayer": lambda: layers.MixtureLayer((dist.Normal(0, 0.1), dist.Normal(0, 1)))(
        "a", X
    ),
    "MultiMembershipLayer": lambda: layers.MultiMembershipLayer()(
        "a", GROUP.reshape(3, 2), np.full((3, 2), 0.5), 4
    ),
    "HorseshoeInteractionLayer": lambda: layers.HorseshoeInteractionLayer(1.0)("a", X),
}


# One of each kind; the others are alike.
QUICK = {"BYM2Layer", "MixtureLayer"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in TERMS]
)
def test_the_density_is_the_sum_of_members(name):
    def model():
        f = numpyro.deterministic("f", TERMS[name]()[..., 0])
        numpyro.sample("y", dist.Normal(f, 0.3).to_event(1), obs=jnp.ones(f.shape[-1:]))

    many = ensemble(model, 3)

    @jax.jit
    def both(key):
        sites = trace(seed(many, key)).get_trace()
        values = {
            n: s["value"]
            for n, s in sites.items()
            if s["type"] == "sample" and not s["is_observed"]
        }
        density = log_density(many, (), {}, values)[0]
        alone = lambda one: log_density(model, (), {}, one)[0]
        output = lambda one: trace(seed(substitute(model, one), 0)).get_trace()["f"][
            "value"
        ]
        members = jax.vmap(alone)(values), jax.vmap(output)(values)
        return density, sites["f"]["value"], *members

    density, f, each, outputs = both(jax.random.key(0))
    np.testing.assert_allclose(density, each.sum(), rtol=1e-4)
    np.testing.assert_allclose(f, outputs.reshape(f.shape), rtol=1e-4, atol=1e-5)
