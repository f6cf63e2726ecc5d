"""Inference on an ensemble is inference on its members."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from jax import random
from numpyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Predictive,
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    log_likelihood,
)
from numpyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)

from numpyro_bayeslayers.handlers._ensemble import ensemble

from .members import SIZE, X, Y, compiled, of_member, regression, sum_over_members, trace_of


def linear(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w, 0.5), obs=y)


def posterior():
    """Mean and covariance of `linear`, by the normal equations."""
    precision = jnp.eye(2) + X.T @ X / 0.25
    return jnp.linalg.solve(precision, X.T @ Y / 0.25), jnp.linalg.inv(precision)


def run(svi, state, steps, *args):
    """Steps of SVI as one program: the final parameters and the losses."""
    state, losses = jax.jit(
        lambda state: jax.lax.scan(lambda s, _: svi.update(s, *args), state, length=steps)
    )(state)
    return svi.get_params(state), losses


class Noise(numpyro.primitives.Messenger):
    """Gives the guide of one member the noise that this member has in the ensemble."""

    def __init__(self, e):
        self.e = e
        super().__init__()

    def process_message(self, msg):
        key = msg["kwargs"].get("rng_key") if msg["type"] == "sample" else None
        if key is None or msg["value"] is not None or msg["is_observed"]:
            return
        base, transforms = msg["fn"], []
        while hasattr(base, "base_dist"):
            transforms = getattr(base, "transforms", transforms)
            base = base.base_dist
        if isinstance(base, dist.Delta):
            return
        value = random.normal(key, (SIZE, 1, *msg["fn"].shape()), base.loc.dtype)[self.e, 0]
        value = base.loc + base.scale * value
        for transform in transforms:
            value = transform(value)
        msg["value"] = value


@pytest.mark.parametrize(
    "guide", [pytest.param(AutoDelta, marks=pytest.mark.slow), AutoNormal]
)
def test_svi_is_svi_of_each_member(guide):
    """In float64 to the last digits, with the same noise for a member alone."""
    steps = 50
    with jax.enable_x64(True):
        x, y = X.astype("float64"), Y.astype("float64")
        model = ensemble(regression, SIZE)
        svi = SVI(model, guide(model), optax.adam(1e-2), TraceMeanField_ELBO())
        start = jax.jit(svi.init)(random.key(1), x, y)
        initial = svi.get_params(start)
        params, losses = run(svi, start, steps, x, y)
        assert jnp.std(initial["net.w_auto_loc"], axis=0).min() > 0.01
        total = 0.0
        for e in range(SIZE):
            one = {n: v[e].reshape(v.shape[2:]) for n, v in initial.items()}
            alone = SVI(
                regression, guide(regression), optax.adam(1e-2), TraceMeanField_ELBO()
            )
            state = jax.jit(alone.init)(random.key(1), x, y, init_params=one)
            state = state._replace(rng_key=start.rng_key)
            with Noise(e):
                expected, own_losses = run(alone, state, steps, x, y)
            total = total + own_losses
            for name, value in expected.items():
                actual = params[name][e].reshape(value.shape)
                np.testing.assert_allclose(actual, value, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(losses, total, rtol=1e-10)


SLOW_GUIDES = [
    AutoDelta,
    AutoDiagonalNormal,
    AutoLaplaceApproximation,
    AutoMultivariateNormal,
]
GUIDES = [
    AutoNormal,
    AutoLowRankMultivariateNormal,
    *(pytest.param(guide, marks=pytest.mark.slow) for guide in SLOW_GUIDES),
]


@pytest.mark.parametrize("guide", GUIDES)
def test_autoguides_find_each_members_posterior(guide):
    model = ensemble(linear, SIZE)
    guide = guide(model)
    svi = SVI(
        model, guide, optax.adam(optax.exponential_decay(0.05, 400, 0.05)), Trace_ELBO(4)
    )
    # Laplace's guide keeps the arguments of `init`, which under jit are tracers.
    init = svi.init if isinstance(guide, AutoLaplaceApproximation) else jax.jit(svi.init)
    params, _ = run(svi, init(random.key(0), X, Y), 1000, X, Y)
    mean, covariance = posterior()
    if isinstance(guide, AutoDelta):
        draws = params["w_auto_loc"][None]
    else:
        draws = guide.sample_posterior(random.key(1), params, sample_shape=(4000,))["w"]
        sd = draws.std(0)[:, 0]
        np.testing.assert_allclose(
            sd, jnp.sqrt(jnp.diag(covariance))[None].repeat(SIZE, 0), rtol=0.25
        )
    assert draws.shape[1:] == (SIZE, 1, 2)
    np.testing.assert_allclose(draws.mean(0)[:, 0], mean[None].repeat(SIZE, 0), atol=0.05)


@pytest.mark.slow
def test_nuts_samples_each_members_posterior():
    mcmc = MCMC(
        NUTS(ensemble(linear, SIZE)), num_warmup=300, num_samples=2000, progress_bar=False
    )
    mcmc.run(random.key(0), X, Y)
    w = mcmc.get_samples()["w"]
    assert w.shape == (2000, SIZE, 1, 2)
    mean, covariance = posterior()
    for e in range(SIZE):
        np.testing.assert_allclose(w[:, e, 0].mean(0), mean, atol=0.03)
        np.testing.assert_allclose(jnp.cov(w[:, e, 0].T), covariance, atol=0.01)
    between = jnp.corrcoef(w[:, 0, 0, 0], w[:, 1, 0, 0])[0, 1]
    assert abs(between) < 0.1  # five standard errors at 2000 draws


def test_nuts_and_arviz():
    """ArviZ names the axis of members by the plate."""
    model = ensemble(regression, SIZE)
    mcmc = MCMC(NUTS(model), num_warmup=2, num_samples=2, progress_bar=False)
    mcmc.run(random.key(0), X, Y)
    shapes = {name: v.shape for name, v in mcmc.get_samples().items()}
    assert shapes["net.w"] == (2, SIZE, 1, 2, 2)
    assert shapes["mu"] == (2, SIZE, 12)
    arviz = pytest.importorskip("arviz", "0.22", "ArviZ names axes by plates from 0.22 on")
    data = arviz.from_numpyro(mcmc)
    assert data.posterior["mu"].dims == ("chain", "draw", "ensemble", "data")
    assert data.posterior["net.w"].dims[2] == "ensemble"
    assert data.observed_data["y"].dims == ("ensemble", "data")


@pytest.mark.parametrize(
    "loss",
    [
        Trace_ELBO(num_particles=3),
        TraceMeanField_ELBO(num_particles=2),
        TraceGraph_ELBO(),
        TraceEnum_ELBO(),
        RenyiELBO(alpha=0.5, num_particles=2),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_every_elbo(loss):
    """For a guide that is a point, every bound is the sum of the members' densities."""
    model = ensemble(linear, SIZE)
    guide = AutoDelta(model)
    svi = SVI(model, guide, optax.adam(1e-2), loss)
    state = jax.jit(svi.init)(random.key(0), X, Y)
    values = {"w": svi.get_params(state)["w_auto_loc"]}
    actual = jax.jit(lambda s: svi.evaluate(s, X, Y))(state)
    np.testing.assert_allclose(
        actual, -sum_over_members(linear, values, SIZE, X, Y), rtol=1e-5
    )
    _, losses = run(svi, state, 20, X, Y)
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_stein():
    from numpyro.contrib.einstein import RBFKernel, SteinVI

    model = ensemble(linear, SIZE)
    optim = numpyro.optim.Adagrad(0.5)
    stein = SteinVI(model, AutoNormal(model), optim, RBFKernel(), num_stein_particles=3)
    params = stein.run(random.key(0), 300, X, Y, progress_bar=False).params
    assert params["w_auto_loc"].shape == (3, SIZE, 1, 2)
    mean, _ = posterior()
    np.testing.assert_allclose(
        params["w_auto_loc"].mean((0, 2)), mean[None].repeat(SIZE, 0), atol=0.1
    )


def test_log_likelihood_of_each_member():
    model = ensemble(regression, SIZE)
    prior = compiled(lambda: Predictive(model, num_samples=2)(random.key(0), X))()
    names = ("net.w", "net.b", "s")
    samples = {name: prior[name] for name in names}
    actual = compiled(lambda: log_likelihood(model, samples, X, Y)["y"])()
    assert actual.shape == (2, SIZE, 12)
    sites = trace_of(regression, X, Y)
    for e in range(SIZE):
        one = jax.vmap(lambda v, e=e: of_member(v, e, sites))(samples)
        expected = log_likelihood(regression, one, X, Y)["y"]
        np.testing.assert_allclose(actual[:, e], expected, rtol=1e-4, atol=1e-4)


def test_prediction_at_new_rows():
    model = ensemble(regression, SIZE)
    guide = AutoNormal(model)
    svi = SVI(model, guide, optax.adam(1e-2), Trace_ELBO())
    params = svi.get_params(jax.jit(svi.init)(random.key(0), X, Y))

    def predict(key):
        return Predictive(model, guide=guide, params=params, num_samples=4)(key, X[:5])

    predicted = compiled(lambda: predict(random.key(1)))()
    assert predicted["mu"].shape == predicted["y"].shape == (4, SIZE, 5)
    assert jnp.std(predicted["mu"], axis=1).min() > 0


@pytest.mark.slow
def test_training_on_minibatches():
    """The likelihood is scaled as in a plain model, so the fit is that to all data."""
    x = random.normal(random.key(3), (200, 2))
    w = jnp.array([1.0, -2.0])
    y = x @ w + 0.5 * random.normal(random.key(4), (200,))

    def model(x, y):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
        with numpyro.plate("data", 200, subsample_size=100):
            xb, yb = numpyro.subsample(x, event_dim=1), numpyro.subsample(y, event_dim=0)
            numpyro.sample("y", dist.Normal(xb @ w, 0.5), obs=yb)

    many = ensemble(model, SIZE)
    guide = AutoNormal(many, init_scale=0.05)
    svi = SVI(
        many, guide, optax.adam(optax.exponential_decay(0.02, 2000, 0.05)), Trace_ELBO(4)
    )
    params, _ = run(svi, jax.jit(svi.init)(random.key(0), x, y), 3000, x, y)
    precision = jnp.eye(2) + x.T @ x / 0.25
    mean, sd = (
        jnp.linalg.solve(precision, x.T @ y / 0.25),
        1 / jnp.sqrt(jnp.diag(precision)),
    )
    np.testing.assert_allclose(
        params["w_auto_loc"][:, 0], mean[None].repeat(SIZE, 0), atol=0.02
    )
    np.testing.assert_allclose(
        params["w_auto_scale"][:, 0], sd[None].repeat(SIZE, 0), rtol=0.25
    )


def test_update_is_compiled_once():
    model = ensemble(linear, SIZE)
    svi = SVI(model, AutoNormal(model), optax.adam(1e-2), Trace_ELBO())
    state = jax.jit(svi.init)(random.key(0), X, Y)
    update = jax.jit(svi.update)
    for _ in range(3):
        state, _ = update(state, X, Y)
    assert update._cache_size() == 1


@pytest.mark.slow
def test_equinox_networks_in_members():
    import equinox as eqx
    from numpyro.contrib.module import eqx_module, random_eqx_module

    net = eqx.nn.MLP(2, "scalar", 4, 1, key=random.key(0))

    def bayesian(x, y=None):
        mu = jax.vmap(random_eqx_module("net", net, dist.Normal(0, 1)))(x)
        with numpyro.plate("data", x.shape[0]):
            numpyro.sample("y", dist.Normal(mu, 0.3), obs=y)

    def optimized(x, y=None):
        mu = jax.vmap(eqx_module("net", net))(x)
        with numpyro.plate("data", x.shape[0]):
            numpyro.sample("y", dist.Normal(mu, 0.3), obs=y)

    model = ensemble(bayesian, SIZE)
    svi = SVI(model, AutoNormal(model), optax.adam(1e-2), Trace_ELBO())
    state = jax.jit(svi.init)(random.key(0), X, Y)
    params, losses = run(svi, state, 30, X, Y)
    assert params["net/layers[0].weight_auto_loc"].shape == (SIZE, 1, 4, 2)
    svi = SVI(ensemble(optimized, SIZE), lambda *_: None, optax.adam(1e-2), Trace_ELBO())
    state = jax.jit(svi.init)(random.key(0), X, Y)
    _, losses = run(svi, state, 30, X, Y)
    assert losses[-1] < losses[0]
