"""NumPyro's handlers, outside of an ensemble and inside of its members."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.infer.reparam import LocScaleReparam, ProjectedNormalReparam, TransformReparam
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers._ensemble import ensemble

from .members import SIZE, X, Y, compiled, density, latents, regression, trace_of

BIAS = jnp.arange(SIZE * 2.0).reshape(SIZE, 1, 2)


def model(x=X, y=Y):
    return ensemble(regression, SIZE)(x, y)


def mu_of(sites):
    """What the members should compute from the values in a trace."""
    w, b = (jnp.broadcast_to(sites[f"net.{n}"]["value"], (SIZE, 1, *s)) for n, s in SHAPES)
    return jnp.tanh(jnp.einsum("ni,eij->enj", X, w[:, 0]) + b) @ jnp.array([1.0, -1.0])


SHAPES = (("w", (2, 2)), ("b", (2,)))


def assert_seen(sites):
    np.testing.assert_allclose(sites["mu"]["value"], mu_of(sites), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "value", [BIAS, BIAS[:1], BIAS[0, 0]], ids=["each", "singleton", "one"]
)
@pytest.mark.parametrize("handler", [handlers.substitute, handlers.condition])
def test_given_values_reach_the_members(handler, value):
    sites = trace_of(handler(model, {"net.b": value}))
    np.testing.assert_array_equal(sites["net.b"]["value"], value)
    assert sites["net.b"]["is_observed"] == (handler is handlers.condition)
    assert_seen(sites)


def test_condition_inside():
    inside = ensemble(handlers.condition(regression, {"net.b": jnp.ones(2)}), SIZE)
    sites = trace_of(inside, X, Y)
    assert sites["net.b"]["is_observed"]
    assert sites["net.b"]["value"].shape == (SIZE, 1, 2)
    assert_seen(sites)


def test_substitute_inside():
    sites = trace_of(
        ensemble(handlers.substitute(regression, {"net.b": jnp.ones(2)}), SIZE), X, Y
    )
    assert not sites["net.b"]["is_observed"]
    assert sites["net.b"]["value"].shape == (SIZE, 1, 2)
    assert_seen(sites)


def test_condition_on_what_is_observed():
    """As in a plain model, the outermost handler wins, and the members see it."""
    seen = []

    def one():
        seen.append(numpyro.sample("y", dist.Normal(0, 1), obs=1.0))
        return seen[-1]

    given = jnp.arange(3.0)
    out = handlers.seed(handlers.condition(ensemble(one, SIZE), {"y": given[:, None]}), 0)()
    np.testing.assert_array_equal(out, given)


def test_data_stays_as_it_was_given():
    """A member's observed data is its own array: no copy for each member."""

    def one(y):
        with numpyro.plate("rows", len(y)):
            assert numpyro.sample("y", dist.Normal(0, 1), obs=y) is y

    handlers.seed(ensemble(one, SIZE), 0)(Y)


def test_do():
    sites = trace_of(handlers.do(model, {"net.b": BIAS}))
    assert sites["net.b"]["value"].shape == BIAS.shape
    done = {**sites, "net.b": {"value": BIAS}}
    assert_seen({**done, "mu": sites["mu"]})
    assert not jnp.allclose(sites["net.b"]["value"], BIAS)


def test_replay():
    guide = handlers.trace(handlers.seed(model, 1)).get_trace()
    sites = trace_of(handlers.replay(model, trace=guide))
    np.testing.assert_array_equal(sites["net.w"]["value"], guide["net.w"]["value"])
    assert_seen(sites)


def test_block():
    seeded = handlers.seed(model, 0)
    sites = handlers.trace(handlers.block(seeded, hide=["net.w"])).get_trace()
    assert "net.w" not in sites
    assert "net.b" in sites
    inside = ensemble(handlers.block(regression, hide=["net.w"]), SIZE)
    assert "net.w" not in trace_of(inside, X, Y)


def test_scope():
    sites = trace_of(handlers.scope(model, prefix="a", divider="."))
    assert {"a.ensemble", "a.net.w", "a.y", "a.data"} <= set(sites)
    frames = {f.name: f.dim for f in sites["a.y"]["cond_indep_stack"]}
    assert frames == {"a.data": -1, "a.ensemble": -2}


@pytest.mark.parametrize("mask", [False, jnp.array([[True], [False], [True]])])
def test_mask(mask):
    sites = (
        compiled(lambda: None)
        and handlers.trace(handlers.seed(handlers.mask(model, mask=mask), 0)).get_trace()
    )
    fn, value = sites["y"]["fn"], sites["y"]["value"]
    log_prob = fn.log_prob(value)
    assert jnp.all((log_prob != 0) == jnp.broadcast_to(jnp.asarray(mask), (SIZE, 12)))


@pytest.mark.parametrize("scale", [0.1, jnp.array([[1.0], [2.0], [3.0]])])
def test_scale(scale):
    sites = handlers.trace(handlers.seed(handlers.scale(model, scale=scale), 0)).get_trace()
    np.testing.assert_allclose(sites["y"]["scale"], scale)
    inside = ensemble(handlers.scale(regression, scale=0.1), SIZE)
    assert trace_of(inside, X, Y)["y"]["scale"] == pytest.approx(0.1)


def test_uncondition():
    sites = trace_of(handlers.uncondition(model))
    assert not sites["y"]["is_observed"]
    assert sites["y"]["value"].shape == (SIZE, 12)
    assert sites["y"]["infer"]["was_observed"]


def test_infer_config():
    configured = handlers.infer_config(model, lambda site: {"tag": site["name"]})
    assert trace_of(configured)["y"]["infer"] == {"tag": "y"}


def with_param():
    c = numpyro.param("c", jnp.zeros(3))
    return numpyro.deterministic("total", c.sum())


def test_lift_outside():
    prior = dist.Normal(0, 1).expand([SIZE, 1, 3]).to_event(1)
    sites = trace_of(handlers.lift(ensemble(with_param, SIZE), prior={"c": prior}))
    assert sites["c"]["type"] == "sample"
    expected = sites["c"]["value"].sum(-1)[:, 0]
    np.testing.assert_allclose(sites["total"]["value"], expected, rtol=1e-5)


def test_lift_inside():
    prior = {"c": dist.Normal(0, 1).expand([3]).to_event(1)}
    sites = trace_of(ensemble(handlers.lift(with_param, prior=prior), SIZE))
    assert sites["c"]["value"].shape == (SIZE, 1, 3)
    assert len(jnp.unique(sites["total"]["value"])) == SIZE


def hierarchy(subsample_size=None):
    m = numpyro.sample("m", dist.Normal(0, 1))
    with numpyro.plate("rows", 6, subsample_size=subsample_size), handlers.scale(scale=2.0):
        z = numpyro.sample("z", dist.Normal(m, 2.0))
    numpyro.deterministic("sum", z.sum())
    return z


@pytest.mark.parametrize("subsample_size", [None, 3])
def test_reparam_outside_is_reparam_inside(subsample_size):
    """The sites that replace one keep its plates, and their scales."""
    config = {"z": LocScaleReparam(0.0)}
    one = functools.partial(hierarchy, subsample_size)
    outside = handlers.reparam(ensemble(one, SIZE), config=config)
    inside = ensemble(handlers.reparam(one, config=config), SIZE)
    sites = [trace_of(m) for m in (outside, inside)]
    for site in sites:
        frames = {f.name: f[1:] for f in site["z_decentered"]["cond_indep_stack"]}
        assert frames == {"rows": (-1, subsample_size or 6), "ensemble": (-2, SIZE)}
        expected = site["m"]["value"] + 2 * site["z_decentered"]["value"]
        np.testing.assert_allclose(site["z"]["value"], expected, rtol=1e-5)
        assert site["z"]["type"] == "deterministic"
        np.testing.assert_allclose(site["sum"]["value"], expected.sum(-1), rtol=1e-4)
    values = latents(sites[0])
    if subsample_size is None:
        actual, expected = (density(m, values) for m in (outside, inside))
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
    else:
        assert sites[0]["z_decentered"]["scale"] == sites[1]["z_decentered"]["scale"] == 4.0


@pytest.mark.parametrize(
    ("site", "reparam"),
    [("e", TransformReparam()), ("v", ProjectedNormalReparam())],
    ids=["transform", "projected_normal"],
)
def test_other_reparameterizations(site, reparam):
    def one():
        s = numpyro.sample("s", dist.HalfNormal(1.0))
        affine = dist.transforms.AffineTransform(s, 2.0)
        e = numpyro.sample("e", dist.TransformedDistribution(dist.Normal(0, 1), affine))
        v = numpyro.sample("v", dist.ProjectedNormal(s * jnp.ones(3)))
        return e + v.sum()

    outside = handlers.reparam(ensemble(one, SIZE), config={site: reparam})
    inside = ensemble(handlers.reparam(one, config={site: reparam}), SIZE)
    values = latents(trace_of(outside))
    assert set(values) == set(latents(trace_of(inside)))
    actual, expected = (density(m, values) for m in (outside, inside))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_trace_inside_sees_one_member():
    """Handlers of a member have messages of a member's shapes, and the names of outside."""
    seen = {}

    def one(x, y):
        with handlers.trace() as sites:
            regression(x, y)
        for name, site in sites.items():
            if site["type"] == "sample":
                frames = [f.name for f in site["cond_indep_stack"]]
                seen[name] = jnp.shape(site["value"]), site["fn"].shape(), frames

    trace_of(handlers.scope(ensemble(one, SIZE, dim=-2), prefix="a", divider="."), X, Y)
    assert seen["a.net.w"] == ((2, 2), (2, 2), [])
    assert seen["a.y"] == ((12,), (12,), ["data"])


def test_predicates_see_plated_sites():
    seen = []
    hide = handlers.block(
        handlers.seed(model, 0), hide_fn=lambda m: seen.append(m) or False
    )
    jax.eval_shape(hide)
    batch_shapes = {m["name"]: m["fn"].batch_shape for m in seen if m["type"] == "sample"}
    assert batch_shapes["net.w"] == (SIZE, 1)
    assert batch_shapes["y"] == (SIZE, 12)


def test_enumeration_of_the_members_variables():
    from numpyro.contrib.funsor import config_enumerate, enum, log_density

    def mixture(y):
        p = numpyro.sample("p", dist.Beta(1.0, 1.0))
        loc = numpyro.sample("loc", dist.Normal(0, 1).expand([2]).to_event(1))
        with numpyro.plate("rows", y.shape[0]):
            z = numpyro.sample("z", dist.Bernoulli(p), infer={"enumerate": "parallel"})
            numpyro.sample("y", dist.Normal(loc[z], 1.0), obs=y)

    p, loc = jnp.array([0.3, 0.6]), jnp.array([[0.0, 1.0], [-1.0, 0.5]])
    many = enum(config_enumerate(ensemble(mixture, 2)), -3)
    values = {"p": p[:, None], "loc": loc[:, None]}
    actual = compiled(lambda: log_density(many, (Y,), {}, values)[0])()
    # By hand: each row is a mixture of two normals.
    parts = jnp.stack([1 - p, p], -1)[:, None] * jnp.exp(
        dist.Normal(loc[:, None], 1.0).log_prob(Y[None, :, None])
    )
    priors = dist.Beta(1.0, 1.0).log_prob(p).sum() + dist.Normal(0, 1).log_prob(loc).sum()
    np.testing.assert_allclose(actual, jnp.log(parts.sum(-1)).sum() + priors, rtol=1e-5)


def test_no_tracers_leak():
    values = latents(trace_of(model))
    with jax.checking_leaks():
        compiled(lambda v: log_density(model, (), {}, v)[0])(values)
        jax.jit(lambda key: latents(handlers.trace(handlers.seed(model, key)).get_trace()))(
            random.key(0)
        )
