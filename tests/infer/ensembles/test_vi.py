"""`EnsembleVI`: the weight on the divergence, and its schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from numpyro_bayeslayers.infer import EnsembleVI
from numpyro_bayeslayers.layers import DenseVariationalDropout

pytestmark = pytest.mark.usefixtures("as_users_run")

Y = jax.random.normal(jax.random.key(0), (20,)) + 0.5


def model(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", y.shape[0]):
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


@pytest.mark.parametrize(("weight", "sd"), [(0.1, 0.0705), (1.0, 0.2182), (4.0, 0.4082)])
def test_optimum_of_the_conjugate_problem(weight, sd):
    optim = optax.adam(optax.cosine_decay_schedule(0.05, 1500))
    ensemble = EnsembleVI(model, AutoNormal, optim, 2, kl_weight=weight, num_particles=64)
    result = ensemble.run(0, 1500, Y, progress_bar=False)
    np.testing.assert_allclose(result.params["mean_auto_scale"], sd, rtol=0.06)
    np.testing.assert_allclose(
        result.params["mean_auto_loc"], Y.sum() / (20 + weight), atol=0.25 * sd
    )


def test_schedule_of_the_weight():
    """At a learning rate of zero, point masses show the weighted prior, step by step."""
    schedule = optax.linear_schedule(0.0, 1.0, 4)
    ensemble = EnsembleVI(
        model, AutoDelta, optax.sgd(0.0), 2, kl_weight=schedule, num_particles=2
    )
    result = ensemble.run(0, 6, Y, progress_bar=False)
    mean = result.params["mean_auto_loc"]
    data = -dist.Normal(mean[:, None], 1.0).log_prob(Y).sum(-1)
    prior = -dist.Normal(0.0, 1.0).log_prob(mean)
    weights = np.minimum(np.arange(6) / 4, 1.0)
    np.testing.assert_allclose(
        result.losses, data[:, None] + weights * prior[:, None], rtol=1e-5
    )


def test_closed_form_divergences_are_weighed():
    layer = DenseVariationalDropout(2, 1, name="f")

    def network(x, y):
        f = layer(x)[..., 0]
        with numpyro.plate("data", x.shape[0]):
            numpyro.sample("y", dist.Normal(f, 1.0), obs=y)

    def empty_guide(x, y):
        return None

    x = jnp.ones((20, 2))
    losses = [
        EnsembleVI(network, empty_guide, optax.sgd(0.0), 1, kl_weight=w)
        .run(0, 1, x, Y, progress_bar=False)
        .losses[0, 0]
        for w in (1.0, 2.0, 3.0)
    ]
    assert losses[1] - losses[0] > 1.0  # the divergence, of the order of 2.5 nats a weight
    np.testing.assert_allclose(losses[2] - losses[1], losses[1] - losses[0], rtol=1e-4)


def test_run_is_updates():
    ensemble = EnsembleVI(model, AutoNormal, optax.adam(0.1), 3)
    result = ensemble.run(0, 4, Y, progress_bar=False)
    state = ensemble.init(0, Y)
    for step in range(4):
        state, losses = ensemble.update(state, Y)
        np.testing.assert_allclose(losses, result.losses[:, step], rtol=1e-5)
