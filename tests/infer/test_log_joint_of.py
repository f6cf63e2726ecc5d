"""NumPyro models as log joint densities: modes against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta
from numpyro.infer.util import constrain_fn

from numpyro_bayeslayers.infer import EnsembleMAP, log_joint_of
from numpyro_bayeslayers.primitives import divergence

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jax.random.normal(jax.random.key(0), (30, 3))
Y = X @ jnp.array([1.0, -1.0, 0.5]) + 0.5 * jax.random.normal(jax.random.key(1), (30,))


def mode_of(model, x=X, y=Y, steps=1500):
    init_fn, log_joint = log_joint_of(model, x, y)
    # The large gradients of a start at a small scale must be forgotten soon.
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, steps), b2=0.9)
    ensemble = EnsembleMAP(log_joint, init_fn, optimizer, ensemble_size=2)
    return ensemble.run(0, steps, x, y, progress_bar=False).params


def test_ridge():
    def model(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 2.0).expand([3]).to_event(1))
        with numpyro.plate("data", len(x)):
            numpyro.sample("y", dist.Normal(x @ w, 0.5), obs=y)

    ridge = jnp.linalg.solve(X.T @ X + 0.25 / 4 * jnp.eye(3), X.T @ Y)
    np.testing.assert_allclose(mode_of(model)["w"], [ridge] * 2, rtol=1e-3)


def test_mode_of_a_positive_parameter():
    """Gamma(a, b) precision of a centered normal: the mode of the constrained density."""

    def model(x, y=None):
        precision = numpyro.sample("precision", dist.Gamma(3.0, 2.0))
        with numpyro.plate("data", len(x)):
            numpyro.sample("y", dist.Normal(0.0, precision**-0.5), obs=y)

    mode = (3.0 + 15.0 - 1.0) / (2.0 + 0.5 * jnp.sum(Y**2))
    np.testing.assert_allclose(jnp.exp(mode_of(model)["precision"]), mode, rtol=1e-3)


def test_support_that_depends_on_another_site():
    def model(x, y=None):
        top = numpyro.sample("top", dist.LogNormal(0.0, 0.1))
        share = numpyro.sample("share", dist.Uniform(0.0, top))
        with numpyro.plate("data", len(x)):
            numpyro.sample("y", dist.Normal(share, 0.5), obs=y)

    init_fn, log_joint = log_joint_of(model, X, Y)
    params = {"top": jnp.array(0.2), "share": jnp.array(-0.3)}
    assert set(init_fn(jax.random.key(0))) == set(params)
    top = jnp.exp(0.2)
    share = top * jax.nn.sigmoid(-0.3)
    loglik, logprior = log_joint(params, X, Y)
    np.testing.assert_allclose(loglik, dist.Normal(share, 0.5).log_prob(Y).sum(), rtol=1e-5)
    expected = dist.LogNormal(0.0, 0.1).log_prob(top) - jnp.log(top)
    np.testing.assert_allclose(logprior, expected, rtol=1e-4)


def test_scales_divergences_and_params():
    def model(x, y=None):
        w = numpyro.param("w", jnp.array(2.0), constraint=dist.constraints.positive)
        divergence("kl", w)
        with (
            numpyro.plate("data", 60, subsample_size=30),
            numpyro.handlers.scale(scale=3.0),
        ):
            numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)

    init_fn, log_joint = log_joint_of(model, X, Y)
    assert init_fn(jax.random.key(0))["w"].shape == ()
    loglik, logprior = log_joint({"w": jnp.log(3.0)}, X, Y)
    np.testing.assert_allclose(loglik, 6 * dist.Normal().log_prob(Y).sum(), rtol=1e-5)
    np.testing.assert_allclose(logprior, -3.0, rtol=1e-5)


def positive(x, y=None):
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.5))
    w = numpyro.sample("w", dist.Normal(0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("data", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, scale), obs=y)


@pytest.mark.slow
def test_mode_is_that_of_auto_delta():
    guide = AutoDelta(positive)
    svi = SVI(positive, guide, optax.adam(0.02), Trace_ELBO())
    found = svi.run(jax.random.key(0), 1500, X, Y, progress_bar=False)
    modes = mode_of(positive)
    constrained = jax.vmap(lambda mode: constrain_fn(positive, (X, Y), {}, mode))(modes)
    for name, value in guide.median(found.params).items():
        assert modes[name].shape == constrained[name].shape == (2, *value.shape)
        np.testing.assert_allclose(constrained[name], [value] * 2, rtol=2e-3)


def test_example_needs_few_rows_and_data_may_be_minibatches():
    init_fn, log_joint = log_joint_of(positive, X[:2], Y[:2])
    ensemble = EnsembleMAP(log_joint, init_fn, optax.adam(0.02), ensemble_size=2)
    result = ensemble.run(0, 20, X, Y, batch_size=8, progress_bar=False)
    assert np.isfinite(result.losses).all()


def test_a_call_traces_once():
    calls = []

    def counted(x, y=None):
        calls.append(1)
        positive(x, y)

    init_fn, log_joint = log_joint_of(counted, X, Y)
    params = init_fn(jax.random.key(0))
    calls.clear()
    fn = jax.jit(jax.vmap(log_joint, (0, None, None)))
    for _ in range(2):
        fn(jax.tree.map(lambda x: jnp.stack([x, x]), params), X, Y)
    assert len(calls) == 1


def test_params_start_where_they_say():
    def model(x, y=None):
        scale = numpyro.param("scale", 3.0, constraint=dist.constraints.positive)
        net = numpyro.param("net", lambda key: {"w": jax.random.normal(key, (3,))})
        numpyro.sample("y", dist.Normal(x @ net["w"], scale).to_event(1), obs=y)

    init_fn, log_joint = log_joint_of(model, X, Y)
    starts = jax.vmap(init_fn)(jax.random.split(jax.random.key(0), 2))
    np.testing.assert_allclose(starts["scale"], np.log([3.0, 3.0]), rtol=1e-6)
    assert not np.allclose(starts["net"]["w"][0], starts["net"]["w"][1])
    one = jax.tree.map(lambda x: x[0], starts)
    expected = dist.Normal(X @ one["net"]["w"], 3.0).log_prob(Y).sum()
    np.testing.assert_allclose(log_joint(one, X, Y), [expected, 0.0], rtol=1e-5)


def test_refuses_params_of_another_model():
    def local(x, y=None):
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal())
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    init_fn, log_joint = log_joint_of(local, X, Y)
    params = init_fn(jax.random.key(0))
    assert np.isfinite(log_joint(params, X, Y)).all()
    with pytest.raises(
        ValueError, match=r"'z' must have shape \(8,\) for this data, got \(30"
    ):
        log_joint(params, X[:8], Y[:8])
    with pytest.raises(ValueError, match=r"all latent sites .* \[\] without 'z'"):
        log_joint({}, X, Y)
    params = log_joint_of(local, X)[0](jax.random.key(0))
    with pytest.raises(
        ValueError, match=r"sites \['y'\], which are observed. Pass the data"
    ):
        log_joint(params, X, Y)


def test_refuses_rows_that_a_plate_chooses():
    def model(x, y=None):
        w = numpyro.sample("w", dist.Normal())
        with numpyro.plate("data", 30, subsample_size=10) as rows:
            numpyro.sample("y", dist.Normal(w, 1.0), obs=y[rows])

    init_fn, log_joint = log_joint_of(model, X, Y)
    with pytest.raises(ValueError, match="The plate 'data' chooses rows at random"):
        log_joint(init_fn(jax.random.key(0)), X, Y)


def test_members_start_apart():
    init_fn, _ = log_joint_of(lambda x, y: numpyro.sample("w", dist.Normal()), X, Y)
    starts = jax.vmap(init_fn)(jax.random.split(jax.random.key(0), 100))["w"]
    assert jnp.unique(starts).size == 100
    assert jnp.abs(starts).max() <= 2.0


def test_refuses():
    def discrete(x, y):
        numpyro.sample("z", dist.Bernoulli(0.5))

    with pytest.raises(ValueError, match="The latent site 'z' is discrete"):
        log_joint_of(discrete, X, Y)[0](jax.random.key(0))
    with pytest.raises(ValueError, match="`model` must have an observed site"):
        log_joint_of(lambda x, y: numpyro.sample("w", dist.Normal()), X, Y)[1](
            {"w": jnp.zeros(())}, X, Y
        )
    with pytest.raises(ValueError, match=r"log_joint_of\(model, x, y\)"):
        log_joint_of(discrete)
    with pytest.raises(TypeError, match="`model` must be callable, got 3"):
        log_joint_of(3, X, Y)
