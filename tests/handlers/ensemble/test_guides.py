"""Guides written by hand are ensembled by the same function."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from jax import random
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer import SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO

from numpyro_bayeslayers.handlers._ensemble import ensemble

from .members import SIZE, Y

ROWS = 12


def local_model(y, subsample_size=None):
    """A global location and a latent for each row: all is normal."""
    m = numpyro.sample("m", dist.Normal(0, 1))
    with numpyro.plate("rows", ROWS, subsample_size=subsample_size):
        z = numpyro.sample("z", dist.Normal(m, 1.0))
        numpyro.sample("y", dist.Normal(z, 0.5), obs=numpyro.subsample(y, event_dim=0))


def local_guide(y, subsample_size=None):
    """With params for each row, of which a minibatch sees its own."""
    loc = numpyro.param("m_loc", lambda key: random.normal(key))
    scale = numpyro.param("m_scale", 0.5, constraint=constraints.positive)
    numpyro.sample("m", dist.Normal(loc, scale))
    with numpyro.plate("rows", ROWS, subsample_size=subsample_size):
        z_loc = numpyro.param("z_loc", lambda key: random.normal(key, (ROWS,)), event_dim=0)
        z_scale = numpyro.param(
            "z_scale", jnp.full(ROWS, 0.5), event_dim=0, constraint=constraints.positive
        )
        numpyro.sample("z", dist.Normal(z_loc, z_scale))


def fit(subsample_size, steps, loss):
    model, guide = ensemble(local_model, SIZE), ensemble(local_guide, SIZE)
    svi = SVI(
        model, guide, optax.adam(optax.exponential_decay(0.05, steps // 3, 0.1)), loss
    )
    start = jax.jit(lambda: svi.init(random.key(0), Y, subsample_size))()
    state, _ = jax.jit(
        lambda state: jax.lax.scan(
            lambda s, _: svi.update(s, Y, subsample_size), state, length=steps
        )
    )(start)
    return svi.get_params(start), svi.get_params(state)


def optimum():
    """The best mean-field normal: the posterior's means, and 1 / its precisions."""
    precision = jnp.diag(jnp.full(ROWS + 1, 5.0)).at[0, 0].set(1.0 + ROWS)
    precision = precision.at[0, 1:].set(-1.0).at[1:, 0].set(-1.0)
    means = jnp.linalg.solve(precision, jnp.concatenate([jnp.zeros(1), Y / 0.25]))
    return means, 1 / jnp.sqrt(jnp.diag(precision))


@pytest.mark.parametrize(
    ("subsample_size", "steps", "atol"),
    [(None, 1500, 0.05), pytest.param(4, 6000, 0.1, marks=pytest.mark.slow)],
)
def test_local_latents_and_params(subsample_size, steps, atol):
    """Each member reaches the optimum, from a start of its own."""
    initial, params = fit(subsample_size, steps, TraceMeanField_ELBO(4))
    assert initial["z_loc"].shape == params["z_loc"].shape == (SIZE, ROWS)
    assert jnp.std(initial["z_loc"], axis=0).min() > 0
    means, sds = optimum()
    np.testing.assert_allclose(params["m_loc"], means[:1].repeat(SIZE), atol=atol)
    np.testing.assert_allclose(params["z_loc"], means[None, 1:].repeat(SIZE, 0), atol=atol)
    np.testing.assert_allclose(params["m_scale"], sds[:1].repeat(SIZE), rtol=0.2)
    np.testing.assert_allclose(params["z_scale"], sds[None, 1:].repeat(SIZE, 0), rtol=0.2)


def test_the_guides_minibatch_is_the_models():
    guide = handlers.trace(handlers.seed(ensemble(local_guide, SIZE), 1)).get_trace(Y, 4)
    model = handlers.seed(ensemble(local_model, SIZE), 2)
    sites = handlers.trace(handlers.replay(model, trace=guide)).get_trace(Y, 4)
    np.testing.assert_array_equal(sites["rows"]["value"], guide["rows"]["value"])
    assert sites["z"]["value"] is guide["z"]["value"]
    assert sites["z"]["scale"] == guide["z"]["scale"] == 3.0
    expected = jnp.broadcast_to(Y[guide["rows"]["value"]], (SIZE, 4))
    np.testing.assert_array_equal(sites["y"]["value"], expected)


def test_a_guide_without_the_models_plate_agrees_with_it():
    """The axis is at most -2, so a guide of global latents needs no `dim`."""

    def model(y):
        m = numpyro.sample("m", dist.Normal(0, 1))
        with numpyro.plate("rows", ROWS):
            numpyro.sample("y", dist.Normal(m, 0.5), obs=y)

    def guide(y):
        loc = numpyro.param("loc", 0.0)
        numpyro.sample("m", dist.Normal(loc, numpyro.param("scale", 0.1)))

    many = ensemble(model, SIZE), ensemble(guide, SIZE)
    values = handlers.trace(handlers.seed(many[1], 0)).get_trace(Y)
    assert values["m"]["value"].shape == (SIZE, 1)
    loss, one = (
        TraceMeanField_ELBO().loss(random.key(0), {}, m, g, Y)
        for m, g in (many, (model, guide))
    )
    m = values["m"]["value"]
    assert jnp.isfinite(loss)
    # The divergences are alike, the likelihoods those of the members' draws.
    many_terms = dist.Normal(m, 0.5).log_prob(Y).sum()
    kl = dist.kl_divergence(dist.Normal(0.0, 0.1), dist.Normal(0.0, 1.0))
    svi_loss = TraceMeanField_ELBO().loss(random.key(0), {"loc": 0.0 * m[:, 0]}, *many, Y)
    assert svi_loss.shape == one.shape == ()
    pinned = handlers.substitute(many[1], {"m": m})
    pinned_loss = TraceMeanField_ELBO().loss(random.key(0), {}, many[0], pinned, Y)
    np.testing.assert_allclose(pinned_loss, SIZE * kl - many_terms, rtol=1e-5)


def test_prediction_from_a_guide_by_hand():
    model, guide = ensemble(local_model, SIZE), ensemble(local_guide, SIZE)
    params = SVI(model, guide, optax.adam(0.1), Trace_ELBO())
    state = params.init(random.key(0), Y)
    predictive = Predictive(
        model, guide=guide, params=params.get_params(state), num_samples=3
    )
    predicted = predictive(random.key(1), Y)
    assert predicted["y"].shape == (3, SIZE, ROWS)
