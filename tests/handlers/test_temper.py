"""Tempered objectives against the closed form of a conjugate problem."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers import temper
from numpyro_bayeslayers.layers import NCPNormalOutput

Y = jax.random.normal(jax.random.key(0), (20,)) + 0.5


def model(y=None):
    theta = numpyro.sample("theta", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", 20):
        numpyro.sample("y", dist.Normal(theta, 1.0), obs=y)


def guide(y=None):
    loc = numpyro.param("loc", 0.3)
    scale = numpyro.param("scale", 0.2, constraint=dist.constraints.positive)
    numpyro.sample("theta", dist.Normal(loc, scale))


def closed_form(loc, scale, beta):
    """E[-log p(y | theta)] + beta KL(N(loc, scale^2) || N(0, 1)), in nats."""
    data = 0.5 * jnp.sum((Y - loc) ** 2 + scale**2) + 10 * jnp.log(2 * jnp.pi)
    kl = 0.5 * (scale**2 + loc**2 - 1) - jnp.log(scale)
    return data + beta * kl


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_expected_loss(beta):
    """Mean of 20,000 draws: within 5 standard errors (false-alarm rate 6e-7)."""
    loss, params = Trace_ELBO(), {"loc": 0.3, "scale": 0.2}
    one = lambda key: loss.loss(key, params, temper(model, beta), temper(guide, beta), Y)
    draws = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 20_000))
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean() - closed_form(0.3, 0.2, beta)) < 5 * error


@pytest.mark.parametrize(("beta", "sd"), [(0.1, 0.0705), (1.0, 0.2182), (4.0, 0.4082)])
def test_optimum(beta, sd):
    """Prior precision 1 and twenty data of precision 1 / beta: sd = (1 + 20 / beta)^-1/2."""
    assert abs(sd - (1 + 20 / beta) ** -0.5) < 5e-5
    tempered = temper(model, beta), temper(guide, beta)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 2000))
    svi = SVI(*tempered, optimizer, TraceMeanField_ELBO(num_particles=64))

    @jax.jit
    def fit(key):
        state = svi.init(key, Y)
        state, _ = jax.lax.scan(lambda s, _: svi.update(s, Y), state, length=2000)
        return svi.get_params(state)

    params = fit(jax.random.key(0))
    np.testing.assert_allclose(params["scale"], sd, rtol=0.03)
    np.testing.assert_allclose(params["loc"], jnp.sum(Y) / (20 + beta), atol=0.02)


@pytest.mark.parametrize("loss", [Trace_ELBO(), TraceMeanField_ELBO()])
def test_one_leaves_the_objective_alone(loss):
    params = {"loc": 0.3, "scale": 0.2}
    plain = loss.loss(jax.random.key(1), params, model, guide, Y)
    tempered = loss.loss(jax.random.key(1), params, temper(model), temper(guide), Y)
    np.testing.assert_allclose(tempered, plain, rtol=1e-6)


def test_scales_the_prior_and_not_the_data():
    values = {"theta": jnp.array(0.7)}
    prior = dist.Normal().log_prob(0.7)
    data = dist.Normal(0.7, 1.0).log_prob(Y).sum()
    density, _ = log_density(temper(model, 0.25), (Y,), {}, values)
    np.testing.assert_allclose(density, data + 0.25 * prior, rtol=1e-6)


def test_scales_closed_form_divergences_and_not_other_factors():
    def both():
        NCPNormalOutput(name="ncp")(jnp.zeros((4, 1)), jnp.ones((4, 1)))
        numpyro.factor("likelihood", jnp.array(-1.0))

    sites = trace(temper(both, 0.5)).get_trace()
    assert sites["ncp.kl"]["scale"] == 0.5
    assert sites["likelihood"]["scale"] is None


def test_schedule_follows_the_updates():
    """With a learning rate of zero, only beta changes the loss from step to step."""
    beta = optax.linear_schedule(0.0, 1.0, 4)
    svi = SVI(
        temper(model, beta), temper(guide, beta), optax.sgd(0.0), TraceMeanField_ELBO()
    )
    state = svi.init(jax.random.key(0), Y)
    noise = []
    traces = 0

    @jax.jit
    def update(state):
        nonlocal traces
        traces += 1
        key = jax.random.split(state.rng_key)[1]
        plain = TraceMeanField_ELBO().loss(key, {"loc": 0.3, "scale": 0.2}, model, guide, Y)
        return *svi.update(state, Y), plain

    kl = closed_form(0.3, 0.2, 1.0) - closed_form(0.3, 0.2, 0.0)
    for step in range(6):
        state, loss, plain = update(state)
        noise.append(float(loss - plain - (min(step / 4, 1.0) - 1.0) * kl))
    np.testing.assert_allclose(noise, 0.0, atol=1e-4)
    assert traces == 1


def test_stock_guide():
    auto = AutoNormal(model)
    svi = SVI(temper(model, 0.5), temper(auto, 0.5), optax.adam(1e-2), Trace_ELBO())
    state = jax.jit(svi.init)(jax.random.key(0), Y)
    assert np.isfinite(svi.update(state, Y)[1])


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_refuses(beta):
    with pytest.raises(ValueError, match="`beta` must be positive and finite, got"):
        temper(model, beta)
    assert seed(temper(model, 1e-3), 0)(Y) is None
