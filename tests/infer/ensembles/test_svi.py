"""`EnsembleSVI` against separate fits by NumPyro's own `SVI`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import (
    SVI,
    Predictive,
    Trace_ELBO,
    TraceMeanField_ELBO,
    init_to_sample,
)
from numpyro.infer.autoguide import AutoDelta, AutoLowRankMultivariateNormal, AutoNormal

from numpyro_bayeslayers.handlers import flipout
from numpyro_bayeslayers.infer import EarlyStopping, EnsembleSVI
from numpyro_bayeslayers.layers import DenseReparameterization
from tests.infer.svi_problems import X, Y, guide, model
from tests.quick import mostly_slow

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)
SPREAD = functools.partial(AutoNormal, init_loc_fn=init_to_sample)


def make(fn=model, guide=AutoDelta, optim=None, **kwargs):
    kwargs = {"num_members": 3} | kwargs
    return EnsembleSVI(fn, guide, optim or optax.adam(0.05), **kwargs)


def run(ensemble, steps, *args, **kwargs):
    return ensemble.run(KEY, steps, *(args or (X, Y)), progress_bar=False, **kwargs)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize(
    "kind",
    mostly_slow(
        [AutoDelta, AutoNormal, SPREAD, AutoLowRankMultivariateNormal, guide],
        [AutoNormal, guide],
    ),
)
def test_members_are_separate_fits(kind):
    """The same parameters and losses as a stock `SVI` with the member's key.

    It is started outside of `jit`, which would sort the sites that a guide packs.
    """
    result = run(make(guide=kind), 40)
    for member, key in enumerate(jax.random.split(KEY, 3)[:2]):
        own = kind if kind is guide else kind(model)
        svi = SVI(model, own, optax.adam(0.05), Trace_ELBO())
        step = lambda s, _, svi=svi: svi.update(s, X, Y)
        start = svi.init(key, X, Y)
        state, losses = jax.jit(lambda s, step=step: jax.lax.scan(step, s, length=40))(
            start
        )
        params = svi.get_params(state)
        assert set(params) == set(result.params)
        for name, value in params.items():
            np.testing.assert_allclose(
                result.params[name][member], value, rtol=1e-4, atol=1e-5
            )
        np.testing.assert_allclose(result.losses[member], losses, rtol=1e-4)
    first = result.losses[:, 0]
    assert len(set(np.asarray(first).tolist())) == 3, "members start from one draw"


def test_run_is_updates_and_compiles_once():
    traces = 0

    def counted(x, y=None):
        nonlocal traces
        traces += 1
        model(x, y)

    ensemble = make(counted, AutoNormal)
    result = run(ensemble, 5)
    state = ensemble.init(KEY, X, Y)
    losses = []
    for _ in range(5):
        state, loss = ensemble.update(state, X, Y)
        losses.append(loss)
    params = ensemble.get_params(state)
    for name, value in result.params.items():
        np.testing.assert_allclose(params[name], value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.losses, np.stack(losses, 1), rtol=1e-5)
    before = traces
    equal(run(ensemble, 5).params, result.params)
    run(ensemble, 7)
    ensemble.update(state, X, Y)
    assert traces == before


def test_guides_given_stay_as_they_are():
    """An autoguide that was given is neither set up nor shared by the members."""
    auto = AutoNormal(model)
    result = run(make(guide=auto), 2)
    assert auto.prototype_trace is None
    assert len({float(w) for w in result.params["w_auto_loc"][:, 0]}) == 3
    svi = SVI(model, auto, optax.adam(0.05), Trace_ELBO())
    jax.jit(svi.init)(KEY, X, Y)
    again = run(make(guide=auto), 2)  # set up elsewhere: members still start apart
    equal(again.params, result.params)


def test_the_plated_model_and_guide():
    """Stock tools on the plated pair, with the result's parameters."""
    ensemble = make(guide=AutoNormal)
    with pytest.raises(RuntimeError, match="call `init` or `run` first"):
        _ = ensemble.guide
    result = run(ensemble, 3)
    predict = Predictive(
        ensemble.model, guide=ensemble.guide, params=result.params, num_samples=2
    )
    assert predict(KEY, X[:5])["y"].shape == (2, 3, 5)
    # The loss of the plated pair is the sum over members.
    elbo = TraceMeanField_ELBO(num_particles=200)
    loss = jax.jit(elbo.loss, static_argnums=(2, 3))
    plated = loss(KEY, result.params, ensemble.model, ensemble.guide, X, Y)
    alone = AutoNormal(model)
    jax.jit(SVI(model, alone, optax.adam(1.0), elbo).init)(KEY, X, Y)
    members = [
        loss(KEY, {n: v[e] for n, v in result.params.items()}, model, alone, X, Y)
        for e in range(3)
    ]
    # Monte Carlo: the standard error of either side is about 1%.
    np.testing.assert_allclose(plated, sum(members), rtol=0.06)


def test_nan_member_is_named_and_leaves_the_others_alone():
    ensemble = make()
    start = ensemble.init(KEY, X, Y)
    sick = jax.tree.map(
        lambda x: x.at[1].set(jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x,
        start,
    )
    healthy = run(ensemble, 10, init_state=start)
    with pytest.warns(UserWarning, match="member 1 from step 0"):
        result = run(ensemble, 10, init_state=sick)
    for name, value in healthy.params.items():
        np.testing.assert_array_equal(result.params[name][::2], value[::2])
    mended = ensemble.restart(jax.random.key(9), result.state, [1], X, Y)
    again = run(ensemble, 10, init_state=mended)
    assert np.isfinite(again.losses).all()
    further = run(ensemble, 10, init_state=healthy.state)
    for name, value in further.params.items():
        np.testing.assert_array_equal(again.params[name][0], value[0])
    with pytest.raises(ValueError, match=r"`members` must be from 0 to 2, got \[3\]"):
        ensemble.restart(0, start, [3], X, Y)


def test_clipping_is_within_a_member():
    """A global norm over all members would couple them: one member alone is the same."""
    optim = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))
    three = run(make(optim=optim), 10)
    one = run(make(optim=optim, num_members=1), 10)
    for name, value in one.params.items():
        np.testing.assert_allclose(three.params[name][0], value[0], rtol=1e-5)


def test_early_stopping_keeps_the_best():
    """A learning rate that warms up too far: the loss falls, rises, and the run ends."""
    optim = optax.sgd(lambda step: 2e-4 * 1.03**step)
    ensemble = make(with_fixed_spread, optim=optim)
    rule = EarlyStopping(patience=20, decay=0.0)
    result = run(ensemble, 5000, early_stopping=rule)
    steps = result.losses.shape[1]
    assert 20 < steps < 5000, "all members stopped, and the run with them"
    for e in range(3):
        losses = np.asarray(result.losses[e])
        best = int(np.argmin(losses))
        assert 0 < best < steps - 20
        at_best = run(ensemble, best)
        np.testing.assert_allclose(
            result.params["w_auto_loc"][e], at_best.params["w_auto_loc"][e], rtol=1e-3
        )
    with pytest.raises(ValueError, match="`patience` must be a positive integer, got 0"):
        run(ensemble, 5, early_stopping=EarlyStopping(patience=0))


def with_fixed_spread(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def network(x, y=None):
    f = DenseReparameterization(2, 1, name="f")(x)[..., 0]
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 1.0), obs=y)


def test_estimators_inside():
    plain, handled = (
        run(make(m, AutoNormal), 3).losses for m in (network, flipout(network))
    )
    assert np.isfinite(handled).all()
    assert not np.allclose(plain, handled)


def test_old_keys_and_integers():
    result = make().run(0, 3, X, Y, progress_bar=False)
    equal(run(make(), 3).params, result.params)
    old = make().run(jax.random.PRNGKey(0), 3, X, Y, progress_bar=False)
    equal(old.params, result.params)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"num_members": 0}, ValueError, "`num_members` must be a positive integer, got 0"),
        ({"fn": 3}, TypeError, "`model` must be callable, got 3"),
        ({"loss": abs}, TypeError, "`loss` must be an ELBO of numpyro.infer"),
        (
            {"mesh": jax.make_mesh((1,), ("x",))},
            ValueError,
            "`mesh` must have the one axis",
        ),
    ],
)
def test_refuses(change, error, match):
    with pytest.raises(error, match=match):
        make(**change)


def test_run_refuses():
    with pytest.raises(ValueError, match="`num_steps` must be a positive integer, got 0"):
        run(make(), 0)
    with pytest.raises(
        ValueError, match=r"`argument 0` has 1 entries that are NaN.*column 1"
    ):
        run(make(), 3, X.at[2, 1].set(jnp.nan), Y)
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer, got 0"):
        run(make(), 3, batch_size=0)


def bounded(one):
    """A model whose supports and constraints have bounds from -`one` on."""

    def fn(x, y=None):
        w = numpyro.sample("w", dist.Uniform(-one, 1.0).expand([2]).to_event(1))
        constraint = dist.constraints.greater_than(-one)
        shift = numpyro.param("shift", 0.5, constraint=constraint)
        numpyro.sample("y", dist.Normal(x @ w + shift, 1.0), obs=y)

    return fn


def test_bounds_may_be_computed():
    """As arrays, which the trace that sets the guide up computes with, and as numbers."""
    found, expected = (run(make(bounded(one)), 3) for one in (jnp.ones(()), 1.0))
    for name, value in expected.params.items():
        np.testing.assert_allclose(found.params[name], value, rtol=1e-4)


@pytest.mark.slow
def test_without_compilation():
    """Under `jax.disable_jit` a start runs the model several times, which is no second layer."""

    def layered(x, y):
        mu = DenseReparameterization(2, 1, name="f")(x)[:, 0]
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(mu, 0.5), obs=y)

    x = np.arange(8.0, dtype=np.float32).reshape(4, 2) / 8

    def losses():
        ensemble = EnsembleSVI(layered, AutoNormal, optax.adam(0.1), num_members=2)
        run = ensemble.run(jax.random.key(0), 1, x, x.sum(1), progress_bar=False)
        return np.asarray(run.losses)

    with jax.disable_jit():
        found = losses()
    np.testing.assert_allclose(found, losses(), rtol=1e-5)
