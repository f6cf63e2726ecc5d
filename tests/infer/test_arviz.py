"""Stock `arviz.from_numpyro` of models with layers.

Under ArviZ below 1 (`InferenceData`) and from 1 on (a tree of xarray) alike; what is asked here
is asked in both in the same words.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import HMC, MCMC

from numpyro_bayeslayers.handlers import ensemble
from numpyro_bayeslayers.layers import DenseReparameterization, lift

arviz = pytest.importorskip("arviz")

X = jnp.linspace(-1.0, 1.0, 5)[:, None]
Y = jnp.sin(X[:, 0])
NET = eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(0))
CHAINS, DRAWS = 2, 20
# The shapes of single draws; members have their axis before those of the data.
SITES = {
    "hidden.weight": (1, 2),
    "hidden.bias": (2,),
    "net.layers.0.weight": (2, 1),
    "net.layers.0.bias": (2,),
    "net.layers.1.weight": (1, 2),
    "net.layers.1.bias": (1,),
    "each.weight": (3, 1, 1, 1),
    "each.bias": (3, 1, 1),
}


def observe(name, f, y):
    with numpyro.plate("rows", len(f)):
        numpyro.sample(name, dist.Normal(f, 0.5), obs=y)


def member(x, y=None):
    observe("v", DenseReparameterization(1, 1, name="each")(x)[..., 0], y)


def model(x, y=None):
    """A layer, a lifted module and an ensemble."""
    f = DenseReparameterization(1, 2, name="hidden")(x).sum(-1)
    f += lift(NET, {"*": dist.Normal(0.0, 1.0)}, name="net")(x)[..., 0]
    observe("y", f, y)
    ensemble(member, 3)(x, y)


@pytest.fixture(scope="module")
def mcmc():
    """What NumPyro's own MCMC draws of the model, by a kernel that is quickly compiled."""
    mcmc = MCMC(
        HMC(model, num_steps=2, trajectory_length=None),
        num_warmup=10,
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0), X, Y)
    return mcmc


@pytest.fixture(scope="module")
def data(mcmc):
    return arviz.from_numpyro(mcmc)


def test_stock_conversion(mcmc, data):
    drawn = mcmc.get_samples(group_by_chain=True)
    assert set(data.posterior.data_vars) == set(drawn) == set(SITES)
    for name, shape in SITES.items():
        found = data.posterior[name]
        assert found.shape == (CHAINS, DRAWS, *shape)
        assert found.dims[:2] == ("chain", "draw")
        np.testing.assert_array_equal(found, drawn[name])
    assert data.sample_stats["diverging"].shape == (CHAINS, DRAWS)
    np.testing.assert_array_equal(data.observed_data["y"], Y)
    np.testing.assert_array_equal(data.observed_data["v"], np.broadcast_to(Y, (3, 5)))


def test_members_have_the_axis_of_their_plate(data):
    pytest.importorskip("arviz", "0.22", "ArviZ names axes by plates from 0.22 on")
    assert data.posterior["each.weight"].dims[2] == "ensemble"
    assert data.observed_data["v"].dims == ("ensemble", "rows")


def test_stock_summary(mcmc, data):
    table = arviz.summary(data)
    assert len(table) == sum(math.prod(shape) for shape in SITES.values())
    drawn = mcmc.get_samples()["hidden.weight"][:, 0, 1].mean()
    np.testing.assert_allclose(
        float(table.loc["hidden.weight[0, 1]", "mean"]), drawn, atol=0.01
    )


@pytest.mark.filterwarnings("ignore:Passing a dict or None as alias_mapping")
@pytest.mark.parametrize("plot", ["plot_trace", "plot_forest"])
def test_stock_plots(plot, data, in_memory):
    names = ["hidden.weight", "net.layers.1.bias", "each.bias"]
    getattr(arviz, plot)(data, var_names=names)
