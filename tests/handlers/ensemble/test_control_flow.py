"""`scan` and `cond` in the members, against the members one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from jax import random
from numpyro import handlers
from numpyro.contrib.control_flow import cond, scan
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.handlers._ensemble import ensemble

from .members import SIZE, Y, density, latents, of_member, sum_over_members, trace_of

SERIES = Y[:5]


def series(y=None):
    """A random walk that closes over values of the member, with a plate in its body."""
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    shift = numpyro.sample("shift", dist.Normal(0, 1).expand([2]).to_event(1))

    def step(level, y):
        level = numpyro.sample("level", dist.Normal(level, s))
        numpyro.deterministic("double", 2 * level)
        with numpyro.plate("units", 2):
            u = numpyro.sample("u", dist.Normal(level + shift, 1.0))
        key = numpyro.prng_key()  # None where a density is asked for
        noise = 0.0 if key is None else random.normal(key)
        y = numpyro.sample("y", dist.Normal(level, s), obs=y)
        return level, (level, u.sum(), noise, y)

    last, ys = scan(step, 0.0, y, length=5)
    with numpyro.plate("rows", 3):
        numpyro.sample("after", dist.Normal(last, 1.0))
    return last, ys


def walk(y=None):
    """As small as it gets: plates in the body are more than autoguides of NumPyro can do."""
    s = numpyro.sample("s", dist.HalfNormal(1.0))

    def step(level, y):
        level = numpyro.sample("level", dist.Normal(level, s))
        return level, numpyro.sample("y", dist.Normal(level, 1.0), obs=y)

    return scan(step, 0.0, y, length=5)[1]


def branches():
    c = numpyro.sample("c", dist.Normal(0, 1))

    def high(scale):
        numpyro.deterministic("size", 2 * scale)
        return numpyro.sample("x", dist.Normal(20.0 + c, scale))

    def low(scale):
        numpyro.deterministic("size", -scale)
        return numpyro.sample("x", dist.Normal(c, 2 * scale))

    return cond(c > 0, high, low, jnp.exp(c))


def test_scan_has_plated_sites():
    plain, sites = trace_of(series, SERIES), trace_of(ensemble(series, SIZE), SERIES)
    # Time is left of the members, the members left of the plates.
    assert sites["level"]["value"].shape == (5, SIZE, 1)
    assert sites["u"]["value"].shape == (5, SIZE, 2)
    assert sites["after"]["value"].shape == (SIZE, 3)
    assert set(sites) - {"ensemble"} == set(plain)
    frames = {f.name: f[1:] for f in sites["u"]["cond_indep_stack"]}
    assert frames == {"units": (-1, 2), "ensemble": (-2, SIZE)}
    assert sites["y"]["is_observed"]
    assert not sites["level"]["is_observed"]
    np.testing.assert_allclose(
        sites["double"]["value"], 2 * sites["level"]["value"][..., 0].T, rtol=1e-6
    )


@pytest.mark.parametrize("model", [series, walk, branches])
def test_density_is_the_sum_over_members(model):
    args = () if model is branches else (SERIES,)
    values = latents(trace_of(ensemble(model, SIZE), *args))
    actual = density(ensemble(model, SIZE), values, *args)
    np.testing.assert_allclose(
        actual, sum_over_members(model, values, SIZE, *args), rtol=1e-5
    )


@pytest.mark.parametrize("handler", [handlers.substitute, handlers.condition])
def test_given_values_reach_the_body(handler):
    model = ensemble(series, SIZE)
    sites = trace_of(model, SERIES)
    level = 1.0 + sites["level"]["value"]
    given = handler(model, {"level": level})
    last, (levels, *_) = handlers.seed(given, 0)(SERIES)
    np.testing.assert_allclose(levels, level[..., 0].T, rtol=1e-6)
    np.testing.assert_allclose(last, level[-1, :, 0], rtol=1e-6)
    after = trace_of(given, SERIES)["level"]
    assert after["is_observed"] == (handler is handlers.condition)
    np.testing.assert_allclose(after["value"], level, rtol=1e-6)


def test_scopes_around_a_scan_name_its_sites():
    def scoped():
        with handlers.scope(prefix="inner", divider="."):
            return walk()

    sites = trace_of(handlers.scope(ensemble(scoped, SIZE), prefix="outer", divider="."))
    assert sites["outer.inner.level"]["value"].shape == (5, SIZE, 1)


def test_members_draw_their_own_noise():
    last, (levels, _, noise, y) = handlers.seed(ensemble(series, SIZE), 0)()
    assert last.shape == (SIZE,)
    assert levels.shape == noise.shape == y.shape == (SIZE, 5)
    assert len(jnp.unique(levels)) == len(jnp.unique(noise)) == SIZE * 5


def test_scan_in_svi():
    model = ensemble(walk, SIZE)
    svi = SVI(model, AutoNormal(model), optax.adam(1e-2), Trace_ELBO())
    state = jax.jit(svi.init)(random.key(0), SERIES)
    _, loss = jax.jit(svi.update)(state, SERIES)
    assert svi.get_params(state)["level_auto_loc"].shape == (5, SIZE, 1)
    assert jnp.isfinite(loss)


@pytest.mark.slow
def test_scan_in_nuts_and_predictive():
    model = ensemble(walk, SIZE)
    mcmc = MCMC(NUTS(model), num_warmup=200, num_samples=400, progress_bar=False)
    mcmc.run(random.key(0), SERIES)
    samples = mcmc.get_samples()
    assert samples["level"].shape == (400, 5, SIZE, 1)
    one = MCMC(NUTS(walk), num_warmup=200, num_samples=1000, progress_bar=False)
    one.run(random.key(1), SERIES)
    for name in ("s", "level"):
        expected = one.get_samples()[name].mean(0)
        actual = jnp.moveaxis(samples[name].mean(0)[..., 0], -1, 0)
        np.testing.assert_allclose(
            actual, jnp.broadcast_to(expected, actual.shape), atol=0.25
        )
    predicted = Predictive(model, samples)(random.key(2))["y"]
    assert predicted.shape == (400, 5, SIZE, 1)
    np.testing.assert_allclose(
        predicted.mean((0, 2))[:, 0], samples["level"].mean((0, 2))[:, 0], atol=0.25
    )


def test_cond_takes_each_members_branch():
    sites = trace_of(ensemble(branches, 8), key=2)
    c, x, size = (sites[n]["value"] for n in ("c", "x", "size"))
    is_high = c[:, 0] > 0
    assert is_high.any()
    assert not is_high.all()
    np.testing.assert_allclose(
        size, jnp.where(is_high, 2.0, -1.0) * jnp.exp(c[:, 0]), rtol=1e-5
    )
    np.testing.assert_array_equal(x[:, 0] > 10, is_high)


def test_cond_with_given_values():
    x = jnp.arange(3.0)[:, None]
    given = handlers.substitute(ensemble(branches, SIZE), {"x": x})
    np.testing.assert_array_equal(handlers.seed(given, 0)(), x[:, 0])
    observed = handlers.condition(ensemble(branches, SIZE), {"x": x})
    assert trace_of(observed)["x"]["is_observed"]


@pytest.mark.parametrize("flow", ["scan", "cond"])
@pytest.mark.parametrize("size", [1, 2])
def test_gradients_are_those_of_the_members(flow, size):
    model, args = (walk, (SERIES,)) if flow == "scan" else (branches, ())
    values = latents(trace_of(ensemble(model, size), *args))
    sites = trace_of(model, *args)

    def joint(values):
        return numpyro.infer.util.log_density(ensemble(model, size), args, {}, values)[0]

    def members(values):
        ones = (of_member(values, e, sites) for e in range(size))
        return sum(numpyro.infer.util.log_density(model, args, {}, one)[0] for one in ones)

    actual, expected = (jax.jit(jax.grad(f))(values) for f in (joint, members))
    for name in values:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-4, atol=1e-5)


def body_with(statement):
    def model():
        scan(lambda c, _: (c + statement(), None), 0.0, None, length=2)

    return ensemble(model, 2, dim=-2)


def subsampling():
    with numpyro.plate("rows", 6, subsample_size=2):
        return 0.0


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        (lambda: numpyro.param("p", 0.0), "'param' site inside `scan`.*move it out"),
        (lambda: numpyro.primitives.mutable("m", {"a": 0.0})["a"], "'mutable' site"),
        (
            lambda: scan(lambda c, _: (c, None), 0.0, None, length=2)[0],
            "'control_flow' site",
        ),
        (subsampling, "subsampling inside `scan`"),
    ],
    ids=["param", "mutable", "nested", "subsampling"],
)
def test_what_a_body_cannot_hold(statement, match):
    with pytest.raises(NotImplementedError, match=match):
        handlers.seed(body_with(statement), 0)()


def test_enumeration_through_a_scan_is_refused():
    from numpyro.contrib.funsor import config_enumerate, enum

    def model():
        def step(z, _):
            return numpyro.sample("z", dist.Bernoulli(0.2 + 0.5 * z)), None

        scan(step, 0, None, length=3)

    with pytest.raises(NotImplementedError, match="cannot be enumerated"):
        handlers.seed(enum(config_enumerate(ensemble(model, 2, dim=-2)), -3), 0)()


def test_plates_around_control_flow_are_refused_as_by_numpyro():
    def model():
        with numpyro.plate("rows", 3):
            walk()

    with pytest.raises(NotImplementedError, match="under a `plate` primitive"):
        handlers.seed(ensemble(model, 2), 0)()


def test_plates_in_a_body_are_right_of_the_members():
    with pytest.raises(ValueError, match="plate 'units' at dim -1"):
        handlers.seed(ensemble(series, 2, dim=-1), 0)()


def test_a_seed_inside_of_a_body_is_its_own():
    def model():
        def step(carry, _):
            with handlers.seed(rng_seed=3):
                return carry, (numpyro.sample("z", dist.Normal(0, 1)), numpyro.prng_key())

        return scan(step, 0.0, None, length=2)[1]

    z, keys = ensemble(model, SIZE, dim=-2)()
    with handlers.seed(rng_seed=3):
        expected = numpyro.sample("z", dist.Normal(0, 1))
        key = numpyro.prng_key()
    np.testing.assert_allclose(z, jnp.full((SIZE, 2), expected), rtol=1e-6)
    assert jnp.all(keys == key)
