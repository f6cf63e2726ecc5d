"""Members that cannot differ are said to be one, and others are not."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from numpyro.infer.autoguide import AutoDelta, AutoNormal
from numpyro.infer.initialization import init_to_value

from numpyro_bayeslayers.infer import EnsembleMAP, EnsembleSVI
from numpyro_bayeslayers.layers import lift

LINEAR = eqx.nn.Linear(1, 1, key=jax.random.key(0))
OPTIMIZED = lift(LINEAR, {"*": constraints.real}, name="f")
X, Y = np.linspace(-1, 1, 4)[:, None], np.ones(4)
POINT = init_to_value(values={"w": jnp.zeros(1)})


def observed(f, y):
    with numpyro.plate("rows", len(f)):
        numpyro.sample("y", dist.Normal(f, 1.0), obs=y)


def optimized(x, y=None):
    observed(OPTIMIZED(x)[:, 0], y)


def noisy(x, y=None):
    kept = jax.random.bernoulli(numpyro.prng_key(), 0.5, x.shape)
    observed(OPTIMIZED(x * kept)[:, 0], y)


def subsampled(x, y=None):
    with numpyro.plate("rows", 4, subsample_size=2) as rows:
        numpyro.sample("y", dist.Normal(OPTIMIZED(x[rows])[:, 0], 1.0), obs=y[rows])


def latent(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
    observed(x @ w, y)


def empty(x, y=None):
    pass


def started(model, guide, num_members=3):
    """Both as NumPyro's steps are: nothing is compiled but the start."""
    svi = EnsembleSVI(model, guide, optax.sgd(0.1), num_members=num_members)
    return svi.init(0, X, Y)


@pytest.mark.parametrize(
    ("model", "guide"),
    [(optimized, empty), (latent, AutoDelta(latent, init_loc_fn=POINT))],
    ids=["lifted", "point"],
)
def test_members_that_are_one_are_said_to_be(model, guide):
    with pytest.warns(UserWarning, match="The 3 members are identical.*Use a prior"):
        started(model, guide)


@pytest.mark.parametrize(
    ("model", "guide", "num_members"),
    [
        (optimized, empty, 1),
        (noisy, empty, 3),
        (subsampled, empty, 3),
        (latent, AutoNormal(latent, init_loc_fn=POINT), 3),
        (latent, AutoDelta, 3),
    ],
    ids=["single", "noise", "subsample", "draws", "starts"],
)
def test_members_that_differ_are_not(model, guide, num_members):
    started(model, guide, num_members)  # a warning is an error here


def test_maxima_from_one_start():
    log_joint = lambda w, x, y: (-jnp.sum((y - w * x) ** 2), -(w**2))
    alike = EnsembleMAP(log_joint, lambda key: 0.0, optax.sgd(0.1), 2)
    with pytest.warns(UserWarning, match="The 2 members are identical.*Let `init_fn` draw"):
        alike.run(0, 1, jnp.ones(3), jnp.ones(3), progress_bar=False)
