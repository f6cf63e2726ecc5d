"""The horseshoes against SciPy's special functions, dense quadrature, and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, NUTS
from scipy import special, stats

from numpyro_bayeslayers.distributions import Horseshoe, RegularizedHorseshoe, SpikeAndSlab
from tests.quick import mostly_slow


@pytest.fixture(autouse=True)
def in_float64(request):
    with jax.enable_x64("single" not in request.node.name):
        yield


def horseshoe_by_scipy(x, s=1.0):
    """By SciPy's exponential integral, and by expansions where that under- or overflows."""
    log_z = 2 * np.log(np.abs(x) / s) - np.log(2)
    z = np.exp(np.clip(log_z, -300, np.log(700)))
    w = np.exp(-np.clip(log_z, 0, 300))
    far = w * (1 - w * (1 - 2 * w * (1 - 3 * w * (1 - 4 * w * (1 - 5 * w)))))
    g = np.select(
        [log_z < -300, log_z > np.log(700)],
        [-np.euler_gamma - log_z, far],
        np.exp(z) * special.exp1(z),
    )
    return np.log(g) - np.log(s) - 0.5 * np.log(2 * np.pi**3)


EVERYWHERE = np.concatenate([10.0 ** np.arange(-37, 38), np.linspace(0.5, 4, 40)])


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_horseshoe_density(scale):
    x = EVERYWHERE * scale
    found = Horseshoe(scale).log_prob(x)
    np.testing.assert_allclose(found, horseshoe_by_scipy(x, scale), rtol=1e-12, atol=1e-12)


def test_horseshoe_density_in_single_precision():
    x = EVERYWHERE.astype(np.float32)
    found = Horseshoe(1.0).log_prob(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, horseshoe_by_scipy(x.astype(float)), rtol=1e-6)


def test_horseshoe_is_its_scale_mixture():
    """Quadrature over the logarithm of the local scale."""
    u = np.linspace(-60, 60, 12_001)
    for x in (1e-4, 0.3, 7.0):
        weight = 2 / np.pi * np.exp(u) / (1 + np.exp(2 * u))
        density = np.sum(stats.norm(0, 0.5 * np.exp(u)).pdf(x) * weight) * (u[1] - u[0])
        np.testing.assert_allclose(Horseshoe(0.5).log_prob(x), np.log(density), rtol=1e-9)


def slope(x):
    """x d log p / dx = 2 z - 2 / (e^z E1(z)), which cancels for large z."""
    z = x**2 / 2
    exact = 2 * z - 2 / special.hyperu(1, 1, np.minimum(z, 1e8))
    far = -2 * (1 - 1 / z + 3 / z**2 - 13 / z**3)
    return np.where(z > 1e3, far, exact)


@pytest.mark.parametrize("precision", ["double", "single"])
def test_horseshoe_derivatives(precision):
    dtype, rtol = {"double": (np.float64, 1e-8), "single": (np.float32, 1e-5)}[precision]
    x = 10.0 ** np.linspace(-12, 8, 81)
    log_prob = lambda x: Horseshoe(dtype(1.0), validate_args=False).log_prob(x)
    gradient = jax.vmap(jax.grad(log_prob))(x.astype(dtype))
    np.testing.assert_allclose(x * gradient, slope(x), rtol=rtol)
    # x^2 d2 = x d(x d) - x d, and x d(x d) = 4 (z (1 - c) - c^2) with slope = -2 c.
    second = jax.vmap(jax.grad(jax.grad(log_prob)))(x.astype(dtype))
    z, c = x**2 / 2, -slope(x) / 2
    with np.errstate(over="ignore"):
        change = np.where(z > 1e3, -4 / z + 24 / z**2, -4 * (z * (c - 1) + c**2))
    expected = change - slope(x)
    np.testing.assert_allclose(x**2 * second, expected, rtol=max(rtol, 1e-4))


@pytest.mark.parametrize("precision", ["double", "single"])
def test_horseshoe_at_its_pole(precision):
    """Finite at zero, with gradient zero: the density of the smallest number."""
    dtype = {"double": np.float64, "single": np.float32}[precision]
    f = lambda x, s: Horseshoe(s).log_prob(x)
    zero, one = dtype(0), dtype(1)
    assert f(zero, one) == f(np.finfo(dtype).tiny, one)
    assert jax.grad(f)(zero, one) == 0
    assert np.isfinite(jax.grad(f, 1)(zero, one))


def regularized_by_quadrature(x, scale, slab, df):
    """Twofold trapezoidal rule over logarithms of the local scale and the slab's precision."""
    u = np.linspace(-45, 45, 1001)
    v = np.linspace(np.log(df / 2) - 45 / min(df / 2, 1), np.log(df / 2 + 40) + 1, 2001)
    log_weight = np.log(2 / np.pi) + u - np.logaddexp(0, 2 * u)
    log_gamma = df / 2 * v - np.exp(v) - special.gammaln(df / 2)
    log_slab = v - np.log(df * slab**2 / 2)
    log_precision = np.logaddexp(-2 * (np.log(scale) + u)[:, None], log_slab)
    base = log_weight[:, None] + log_gamma + 0.5 * log_precision - 0.5 * np.log(2 * np.pi)
    step = np.log((u[1] - u[0]) * (v[1] - v[0]))
    with np.errstate(over="ignore"):
        half = 0.5 * np.exp(log_precision)
        return np.array([special.logsumexp(base - half * b**2) + step for b in x])


POINTS = np.array([1e-12, 1e-7, 1e-4, 0.01, 0.3, 1.0, 3.0, 20.0])
SETTINGS = [
    (1.0, 2.0, 4.0),
    (0.1, 1.0, 4.0),
    (1e-3, 1.0, 1.0),
    (1e-6, 1.0, 4.0),
    (1e3, 1.0, 4.0),
    (1e6, 1.0, 0.5),
    (0.1, 1.0, 100.0),
    (1.0, 0.5, 1000.0),
]


@jax.jit
def regularized(x, *args):
    return RegularizedHorseshoe(*args).log_prob(x)


@pytest.mark.parametrize("setting", mostly_slow(SETTINGS, SETTINGS[::3]))
def test_regularized_density(setting):
    # The last point is beyond what the quadrature sees of the lightest tails.
    x = POINTS if setting[2] < 500 else POINTS[:-1]
    found = regularized(POINTS, *setting)[: len(x)]
    expected = regularized_by_quadrature(x, *setting)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def grid():
    """Value, scale, slab and degrees of freedom over the stated range."""
    scales = [1e-6, 1e-3, 0.1, 1.0, 10.0, 1e3, 1e6]
    mesh = np.meshgrid(np.logspace(-9, 6, 46), scales, [1.0], [0.5, 1.0, 4.0, 20.0, 1e3])
    return [a.ravel() for a in mesh]


def regularized_and_slopes(x, scale, slab, df):
    """The log density, and its derivatives by the logarithms of all four."""
    f = lambda logs: RegularizedHorseshoe(*jnp.exp(logs[1:]), validate_args=False).log_prob(
        jnp.exp(logs[0])
    )
    logs = jnp.log(jnp.stack([x, scale, slab, df], axis=1))
    return jax.jit(jax.vmap(jax.value_and_grad(f)))(logs)


def test_regularized_single_precision_is_double_precision_rounded():
    args = grid()
    single, slopes = regularized_and_slopes(*(a.astype(np.float32) for a in args))
    with jax.enable_x64(True):
        double, expected = regularized_and_slopes(*args)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(slopes, expected, rtol=1e-3, atol=1e-3)


def test_regularized_tends_to_its_parts():
    """A wide slab leaves the horseshoe; a wide horseshoe leaves the slab, a Student t."""
    x = np.array([1e-3, 0.1, 1.0, 8.0])
    settings = np.array([(0.1, 1e6, 4.0), (1e7, 2.0, 4.0)]).T[..., None]
    wide, slab = regularized(x, *settings)
    np.testing.assert_allclose(wide, horseshoe_by_scipy(x, 0.1), rtol=1e-5)
    np.testing.assert_allclose(slab, stats.t(4, 0, 2).logpdf(x), rtol=1e-5)


def test_regularized_far_out():
    """The tails are those of |x|^(-df - 2), and finite where squares overflow."""
    log_prob = lambda x: RegularizedHorseshoe(0.1, 1.0, 4.0).log_prob(x)
    x = np.array([0.0, 1e5, 1e10, 1e30, 1e200])
    found, slopes = jax.jit(jax.vmap(jax.value_and_grad(log_prob)))(x)
    steps = np.diff(found[1:]) / np.diff(np.log(x[1:]))
    np.testing.assert_allclose(steps, -6.0, rtol=1e-6)
    np.testing.assert_allclose(x * slopes, [0, *[-6] * 4], rtol=1e-6)


@pytest.mark.parametrize("name", ["scale", "slab_scale", "slab_df"])
def test_errors(name):
    args = {"scale": 0.5, "slab_scale": 1.0, "slab_df": 4.0} | {name: 0.0}
    with pytest.raises(ValueError, match=f"invalid {name}"):
        RegularizedHorseshoe(**args)
    with pytest.raises(ValueError, match="Horseshoe distribution got invalid scale"):
        Horseshoe(-1.0)


def local_scales(name):
    """The sites that the marginal densities stand for, non-centred."""
    local = numpyro.sample("local", dist.HalfCauchy(1.0))
    base = numpyro.sample("base", dist.Normal(0.0, 1.0))
    scale = 0.5 * local
    if name == "regularized":
        slab = jnp.sqrt(numpyro.sample("slab", dist.InverseGamma(2.0, 8.0)))
        scale = 1 / jnp.hypot(1 / scale, 1 / slab)
    return numpyro.deterministic("beta", scale * base)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "draw"),
    [
        (Horseshoe(0.5), lambda _: local_scales("horseshoe")),
        (RegularizedHorseshoe(0.5, 2.0, 4.0), lambda _: local_scales("regularized")),
        (SpikeAndSlab(0.5, 2.0, 0.2), lambda prior: numpyro.sample("beta", prior)),
    ],
    ids=["horseshoe", "regularized", "spike"],
)
def test_posterior_means_are_those_of_nuts(prior, draw):
    """Five coefficients, each seen once with noise 1, against one-dimensional quadrature.

    The limit is 5.5 standard errors, from the effective number of draws: a right density
    fails with probability below 1e-6.
    """
    y = np.array([0.0, 0.5, 1.5, 3.0, 6.0])

    def model():
        with numpyro.plate("coefficients", 5):
            numpyro.sample("y", dist.Normal(draw(prior), 1.0), obs=y)

    kernel = NUTS(model, target_accept_prob=0.95, max_tree_depth=7)
    mcmc = MCMC(kernel, num_warmup=1000, num_samples=8000, progress_bar=False)
    mcmc.run(jax.random.key(0))
    draws = np.asarray(mcmc.get_samples()["beta"])
    effective = numpyro.diagnostics.effective_sample_size(draws[None])
    assert effective.min() > 400, effective
    # No node at the pole: from a billionth outward, on either side.
    x = np.concatenate([-np.logspace(2, -9, 20_001), np.logspace(-9, 2, 20_001)])
    weights = np.exp(np.asarray(prior.log_prob(x))) * stats.norm(x).pdf(y[:, None])
    expected = np.trapezoid(weights * x, x) / np.trapezoid(weights, x)
    error = draws.std(0) / np.sqrt(effective)
    assert np.abs((draws.mean(0) - expected) / error).max() < 5.5, (draws.mean(0), expected)
