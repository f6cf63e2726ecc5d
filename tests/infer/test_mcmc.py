"""Chains by member."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS

from numpyro_bayeslayers.infer import EnsembleMAP, EnsembleMCMC, log_joint_of

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jnp.zeros(20)
Y = jax.random.normal(jax.random.key(0), (20,)) + 0.5


def model(x, y=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", 20):
        numpyro.sample("y", dist.Normal(x + mean, 1.0), obs=y)


@pytest.fixture(scope="module")
def chains():
    return EnsembleMCMC(NUTS(model), 200, 500, num_members=4)


def test_posterior_and_second_run(chains):
    """Each chain has the conjugate posterior: 5 standard errors at 100 effective draws."""
    first = chains.run(0, X, Y, progress_bar=False).samples["mean"]
    assert first.shape == (4, 500)
    sd = 21**-0.5
    assert jnp.all(jnp.abs(first.mean(1) - Y.sum() / 21) < 5 * sd / 10)
    assert jnp.all(jnp.abs(first.std(1) / sd - 1) < 5 / np.sqrt(200))
    again = chains.run(0, X, Y, progress_bar=False).samples["mean"]
    np.testing.assert_array_equal(first, again)


def test_warm_start():
    """With tiny steps, each chain stays where its member was."""
    kernel = NUTS(model, step_size=1e-6, adapt_step_size=False, max_tree_depth=1)
    short = EnsembleMCMC(kernel, 1, 3, num_members=3)
    starts = {"mean": jnp.array([-5.0, 0.0, 5.0])}
    samples = short.run(0, X, Y, init=starts, progress_bar=False).samples["mean"]
    np.testing.assert_allclose(samples, jnp.tile(starts["mean"][:, None], 3), atol=1e-3)
    init_fn, log_joint = log_joint_of(model, X, Y)
    ensemble = EnsembleMAP(log_joint, init_fn, optax.adam(0.1), ensemble_size=3)
    fitted = ensemble.run(0, 300, X, Y, progress_bar=False)
    samples = short.run(0, X, Y, init=fitted, progress_bar=False).samples["mean"]
    np.testing.assert_allclose(samples, Y.sum() / 21, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"kernel": model}, TypeError, "`kernel` must be a kernel of numpyro.infer, got"),
        ({"num_members": 0}, ValueError, "`num_members` must be a positive integer, got 0"),
        ({"num_samples": 0}, ValueError, "`num_samples` must be a positive integer, got 0"),
    ],
)
def test_refuses(change, error, match):
    options = {"kernel": NUTS(model), "num_warmup": 5, "num_samples": 5, "num_members": 2}
    with pytest.raises(error, match=match):
        EnsembleMCMC(**options | change)


def test_refuses_other_starts(chains):
    with pytest.raises(
        ValueError, match=r"lead with the 4 members, got shape \(3,\) for the"
    ):
        chains.run(0, X, Y, init={"mean": jnp.zeros(3)}, progress_bar=False)
    with pytest.raises(
        TypeError, match="`init` must be a dictionary of values by site name"
    ):
        chains.run(0, X, Y, init=jnp.zeros(4), progress_bar=False)
