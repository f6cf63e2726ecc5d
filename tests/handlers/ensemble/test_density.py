"""The log density of an ensemble is the sum of its members', for models of every build."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers._ensemble import ensemble, plate_nesting

from .members import (
    SIZE,
    X,
    Y,
    compiled,
    density,
    latents,
    of_member,
    regression,
    sum_over_members,
    trace_of,
)


def no_plates(x, y):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.sample("y", dist.Normal(x @ w, 1.0).to_event(1), obs=y)


def no_sites_with_batch(x, y):
    a = numpyro.sample("a", dist.Gamma(2.0, 1.0))
    numpyro.factor("f", -(a**2))


def undeclared_batch(x, y):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]))  # no `to_event`, no plate
    numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def batch_of_data_only(x, y):
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(0.0, s), obs=y)


def sample_shape(x, y):
    w = numpyro.sample("w", dist.Normal(0, 1), sample_shape=(2,))
    numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def three_nested_plates(x, y):
    top = numpyro.sample("top", dist.Normal(0, 1))
    with numpyro.plate("a", 2):
        one = numpyro.sample("one", dist.Normal(top, 1.0))
        with numpyro.plate("b", 3):
            two = numpyro.sample("two", dist.Normal(one, 1.0))
            with numpyro.plate("c", 4):
                assert two.shape == (3, 2)
                numpyro.sample("three", dist.MultivariateNormal(two[..., None], jnp.eye(2)))


def plates_with_dims(x, y):
    groups, units = numpyro.plate("groups", 2, dim=-3), numpyro.plate("units", 3, dim=-1)
    with groups:
        z = numpyro.sample("z", dist.Normal(0, 1))
    with units:
        u = numpyro.sample("u", dist.Normal(0, 1))
    with groups, units:
        numpyro.sample("v", dist.Normal(z + u, 1.0))


def missing_values(x, y):
    y = y.at[::3].set(jnp.nan)
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("data", x.shape[0]), handlers.mask(mask=~jnp.isnan(y)):
        numpyro.sample("y", dist.Normal(0, s), obs=jnp.nan_to_num(y))


def mask_of_a_member(x, y):
    a = numpyro.sample("a", dist.Normal(0, 1))
    with numpyro.plate("data", x.shape[0]), handlers.mask(mask=x[:, 0] > a):
        numpyro.sample("y", dist.Normal(a, 1.0), obs=y)


def observed_mask(x, y):
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("data", x.shape[0]):
        imputed = numpyro.sample("y", dist.Normal(0, s), obs=y, obs_mask=y > 0)
        numpyro.sample("z", dist.Normal(imputed, 1.0), obs=y)


def scale_of_a_member(x, y):
    a = numpyro.sample("a", dist.HalfNormal(1.0))
    with handlers.scale(scale=a):
        numpyro.sample("b", dist.Normal(a, 1.0))


def observed_by_the_member(x, y):
    a = numpyro.sample("a", dist.Normal(0, 1))
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=x[:, 0] * a)


def bounds_of_a_member(x, y):
    a = numpyro.sample("a", dist.Normal(0, 1))
    b = numpyro.sample("b", dist.Uniform(a, a + 1))
    c = numpyro.sample("c", dist.TruncatedNormal(0.0, 1.0, low=b))
    numpyro.sample(
        "d", dist.TransformedDistribution(dist.Normal(c, 1), dist.transforms.ExpTransform())
    )
    affine = dist.transforms.AffineTransform(a, jnp.exp(a))
    numpyro.sample("e", dist.TransformedDistribution(dist.Gamma(2.0, 1.0), affine))


def arbitrary_code(x, y):
    w = numpyro.sample("w", dist.MultivariateNormal(jnp.zeros(4), jnp.eye(4))).reshape(2, 2)
    q, _ = jnp.linalg.qr(w)
    h = jax.lax.map(lambda v: jnp.where(v.sum() > 0, v @ w, v @ q).sum(), x)
    parts = numpyro.sample("parts", dist.Dirichlet(jnp.ones(3)))
    numpyro.sample("corr", dist.LKJCholesky(2, 1.0))
    numpyro.sample("walk", dist.GaussianRandomWalk(parts[0], 4))
    with numpyro.plate("data", x.shape[0]):
        components = dist.Normal(h[:, None] + jnp.arange(3.0), 1.0)
        numpyro.sample(
            "y", dist.MixtureSameFamily(dist.Categorical(parts), components), obs=y
        )


MODELS = {
    no_plates: 1,
    no_sites_with_batch: 1,
    undeclared_batch: 1,
    batch_of_data_only: 1,
    sample_shape: 1,
    three_nested_plates: 3,
    plates_with_dims: 3,
    missing_values: 1,
    mask_of_a_member: 1,
    observed_mask: 1,
    scale_of_a_member: 1,
    observed_by_the_member: 1,
    bounds_of_a_member: 1,
    arbitrary_code: 1,
    regression: 1,
}


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_log_density_is_the_sum_over_members(model):
    """And every site is in the plate, on an axis left of all others."""
    nesting, plain = MODELS[model], trace_of(model, X, Y)
    assert plate_nesting(model, X, Y) == nesting
    sites = trace_of(ensemble(model, SIZE), X, Y)
    for name, site in sites.items():
        if site["type"] == "plate":
            continue
        frames = [
            {f.name: f[1:] for f in s[name]["cond_indep_stack"]} for s in (sites, plain)
        ]
        assert frames[0] == {**frames[1], "ensemble": (-nesting - 1, SIZE)}
        if site["type"] == "sample":
            batch_shape = site["fn"].batch_shape
            assert batch_shape[0] == SIZE
            assert len(batch_shape) == nesting + 1
            assert site["fn"].event_shape == plain[name]["fn"].event_shape
            assert site["value"].shape[0] == SIZE
    values = latents(sites)
    expected = sum_over_members(model, values, SIZE, X, Y, nesting=nesting)
    actual = density(ensemble(model, SIZE), values, X, Y)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_members_differ_and_equal_the_plain_model():
    """Deterministic values are those of the plain model at the members' values."""
    sites = trace_of(ensemble(regression, SIZE), X)
    w, b, mu = (sites[n]["value"] for n in ("net.w", "net.b", "mu"))
    assert w.shape == (SIZE, 1, 2, 2) and mu.shape == (SIZE, 12)
    expected = jnp.tanh(jnp.einsum("ni,eij->enj", X, w[:, 0]) + b) @ jnp.array([1.0, -1.0])
    np.testing.assert_allclose(mu, expected, rtol=1e-5, atol=1e-6)
    assert jnp.std(mu, axis=0).min() > 1e-3


def test_float64_is_kept_and_exact():
    with jax.enable_x64(True):
        x, y = X.astype("float64"), Y.astype("float64")
        values = latents(trace_of(ensemble(regression, SIZE), x, y))
        assert all(v.dtype == jnp.float64 for v in values.values())
        actual = density(ensemble(regression, SIZE), values, x, y)
        expected = sum_over_members(regression, values, SIZE, x, y)
        np.testing.assert_allclose(actual, expected, rtol=1e-13)


def test_gradients_and_hessians_pass():
    """The border is crossed under jit, grad, and forward over reverse."""
    values = latents(trace_of(ensemble(regression, SIZE), X, Y))

    sites = trace_of(regression, X, Y)

    def members(s):
        ones = (of_member({**values, "s": s}, e, sites) for e in range(SIZE))
        return sum(log_density(regression, (X, Y), {}, one)[0] for one in ones)

    def joint(s):
        return log_density(ensemble(regression, SIZE), (X, Y), {}, {**values, "s": s})[0]

    for transform in (jax.grad, jax.hessian):
        actual, expected = (compiled(transform(f))(values["s"]) for f in (joint, members))
        np.testing.assert_allclose(actual, expected, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("dim", [None, -2, -4])
def test_sizes_and_dims(size, dim):
    model = ensemble(regression, size, dim=dim)
    values = latents(trace_of(model, X, Y))
    nesting = 1 if dim is None else -dim - 1
    actual = density(model, values, X, Y)
    expected = sum_over_members(regression, values, size, X, Y, nesting=nesting)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    assert values["net.w"].shape == (size,) + (1,) * nesting + (2, 2)


def test_ensembles_of_ensembles():
    inner = ensemble(regression, 2)
    outer = ensemble(inner, 3, name="outer")
    sites = trace_of(outer, X, Y)
    assert sites["net.w"]["value"].shape == (3, 2, 1, 2, 2)
    assert sites["y"]["value"].shape == (3, 2, 12)
    values = latents(sites)
    actual = density(outer, values, X, Y)
    expected = sum_over_members(inner, values, 3, X, Y, nesting=2)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_many_particles_in_vmap():
    """The ensemble itself may be mapped, as SVI does with several particles."""
    model = ensemble(regression, SIZE)
    keys = random.split(random.key(0), 4)

    def draw(key):
        values = latents(handlers.trace(handlers.seed(model, key)).get_trace(X, Y))
        return values, log_density(model, (X, Y), {}, values)[0]

    values, actual = compiled(jax.vmap(draw))(keys)
    one = {name: v[2] for name, v in values.items()}
    np.testing.assert_allclose(
        actual[2], sum_over_members(regression, one, SIZE, X, Y), rtol=1e-5
    )
