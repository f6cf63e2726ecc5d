"""The mixture over members against sums by hand, SciPy's quadrature, and its own draws."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions.batch_util import promote_batch_shape, vmap_over
from numpyro.handlers import seed, trace
from scipy import integrate, stats
from scipy.special import logsumexp

from numpyro_bayeslayers.distributions import EnsembleMixture

LOC, SCALE = np.array([0.0, 3.0, -1.0]), np.array([1.0, 2.0, 0.3])

# NumPyro's components, and SciPy's of each member.
CONTINUOUS = {
    "Normal": (
        lambda: dist.Normal(jnp.asarray(LOC), jnp.asarray(SCALE)),
        [stats.norm(*p) for p in zip(LOC, SCALE, strict=True)],
    ),
    "StudentT": (
        lambda: dist.StudentT(4.0, jnp.asarray(LOC), jnp.asarray(SCALE)),
        [stats.t(4.0, *p) for p in zip(LOC, SCALE, strict=True)],
    ),
    "LogNormal": (
        lambda: dist.LogNormal(jnp.asarray(LOC) / 3, 0.5),
        [stats.lognorm(0.5, scale=np.exp(m / 3)) for m in LOC],
    ),
    "Uniform": (  # members whose supports differ
        lambda: dist.Uniform(jnp.asarray(LOC), jnp.asarray(LOC + SCALE)),
        [stats.uniform(*p) for p in zip(LOC, SCALE, strict=True)],
    ),
}
RATE = np.array([2.0, 5.0, 40.0])
DISCRETE = {
    "Poisson": (
        lambda: dist.Poisson(jnp.asarray(RATE)), [stats.poisson(r) for r in RATE]
    ),
    "NegativeBinomial": (
        lambda: dist.NegativeBinomial2(jnp.asarray(RATE), 3.0),
        [stats.nbinom(3.0, 3.0 / (3.0 + r)) for r in RATE],
    ),
}  # fmt: skip
ALL = CONTINUOUS | DISCRETE
Q = np.array([1e-4, 0.01, 0.2, 0.5, 0.77, 0.99, 0.9999])


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def mixture_of(case):
    return EnsembleMixture(ALL[case][0]())


@functools.cache
def compiled(case):
    """Compiled once for all tests: operations one by one compile for longer."""

    def moments(d):
        return {n: getattr(d, n) for n in ("mean", "variance", "aleatoric", "epistemic")}

    mixture = mixture_of(case)
    return {
        "log_prob": jax.jit(mixture.log_prob),
        "cdf": jax.jit(mixture.cdf),
        "icdf": jax.jit(mixture.icdf),
        "sample": jax.jit(mixture.sample, static_argnums=1),
        "moments": jax.jit(lambda: moments(mixture)),
    }


def points(case):
    quantiles = [member.ppf([0.02, 0.3, 0.9]) for member in ALL[case][1]]
    return np.unique(np.concatenate(quantiles))


@pytest.mark.parametrize("case", ALL)
def test_density_and_cdf_are_the_members_means(case):
    f, members = compiled(case), ALL[case][1]
    x = points(case)
    log = "logpdf" if case in CONTINUOUS else "logpmf"
    log_probs = [getattr(member, log)(x) for member in members]
    # NumPyro's own density of a negative binomial is good to 1e-7.
    expected = logsumexp(log_probs, axis=0) - np.log(3)
    np.testing.assert_allclose(f["log_prob"](x), expected, rtol=1e-6)
    np.testing.assert_allclose(f["cdf"](x), np.mean([m.cdf(x) for m in members], 0), 1e-6)


@pytest.mark.parametrize("case", CONTINUOUS)
def test_moments_and_cdf_by_quadrature(case):
    """Against integrals of our own density, which need neither the members' nor the law."""
    f, members = compiled(case), ALL[case][1]
    # Pieces that end where a density jumps or peaks, in the tails to infinity.
    inner = np.concatenate(
        [m.ppf([0.0, 1e-3, 0.05, 0.5, 0.95, 0.999, 1.0]) for m in members]
    )
    edges = np.unique(np.append(inner, 0.7))

    def integral(power, upper=np.inf):
        at = edges[edges <= upper]
        return sum(
            integrate.quad(lambda x: x**power * np.exp(f["log_prob"](x)), a, b)[0]
            for a, b in itertools.pairwise(at)
        )

    moments = f["moments"]()
    mean = integral(1)
    np.testing.assert_allclose(integral(0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(moments["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(moments["variance"], integral(2) - mean**2, rtol=1e-6)
    np.testing.assert_allclose(f["cdf"](0.7), integral(0, 0.7), rtol=1e-6)


@pytest.mark.parametrize("case", ALL)
def test_variance_is_aleatoric_and_epistemic(case):
    moments, members = compiled(case)["moments"](), ALL[case][1]
    means, variances = [m.mean() for m in members], [m.var() for m in members]
    np.testing.assert_allclose(moments["aleatoric"], np.mean(variances), rtol=1e-9)
    np.testing.assert_allclose(moments["epistemic"], np.var(means), rtol=1e-9)
    parts = moments["aleatoric"] + moments["epistemic"]
    np.testing.assert_allclose(moments["variance"], parts, rtol=1e-12)


@pytest.mark.parametrize("case", CONTINUOUS)
def test_quantiles_and_probabilities_are_inverse(case):
    f = compiled(case)
    np.testing.assert_allclose(f["cdf"](f["icdf"](Q)), Q, rtol=1e-12, atol=1e-15)
    x = points(case)
    np.testing.assert_allclose(f["icdf"](f["cdf"](x)), x, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("case", DISCRETE)
def test_quantiles_of_counts_are_the_first_that_reach(case):
    f = compiled(case)
    counts = np.arange(200)
    cdf = np.mean([m.cdf(counts) for m in ALL[case][1]], axis=0)
    inside = cdf < 1 - 1e-9
    np.testing.assert_array_equal(f["icdf"](f["cdf"](counts))[inside], counts[inside])
    np.testing.assert_array_equal(f["icdf"](Q), np.searchsorted(cdf, Q))


def test_quantiles_at_the_ends_and_outside():
    q = jnp.array([0.0, 1.0, -0.1, 1.1, jnp.nan])
    ends = {
        "Normal": [-np.inf, np.inf],
        "LogNormal": [0.0, np.inf],
        "Uniform": [-1.0, 5.0],
        "Poisson": [0.0, np.inf],
    }
    for case, expected in ends.items():
        np.testing.assert_allclose(compiled(case)["icdf"](q), expected + [np.nan] * 3)


def test_quantile_is_exact_to_the_last_bit_at_every_scale():
    """Among members as far apart as numbers can be, in float32."""
    loc = jnp.array([-1e30, 1e-20, 1e25], jnp.float32)
    mixture = EnsembleMixture(dist.Normal(loc, jnp.abs(loc) / 8))
    x = jax.jit(mixture.icdf)(jnp.array([0.2, 0.4, 0.5, 0.9], jnp.float32))
    assert x.dtype == jnp.float32
    q = np.array([0.2, 0.4, 0.5, 0.9], np.float32)
    below = np.nextafter(np.asarray(x), np.float32(-np.inf))
    assert (np.asarray(jax.jit(mixture.cdf)(x)) >= q).all()
    assert (np.asarray(jax.jit(mixture.cdf)(below)) < q).all()


def test_quantile_of_a_member_that_failed_is_nan():
    icdf = jax.jit(lambda loc, q: EnsembleMixture(dist.Normal(loc, 1.0)).icdf(q))
    loc, q = jnp.array([0.0, jnp.nan]), jnp.array([0.0, 0.1, 0.5, 0.9, 1.0])
    assert np.isnan(icdf(loc, q)).all()


@pytest.mark.parametrize("case", ALL)
def test_draws_follow_the_cdf(case):
    """The largest difference to their own cdf, by the bound of Dvoretzky, Kiefer, Wolfowitz.

    A case fails by chance less than once in 10 000 keys.
    """
    f, num = compiled(case), 5000
    draws = np.sort(f["sample"](jax.random.key(0), (num,)))
    at, counts = np.unique(draws, return_counts=True)
    distance = np.abs(np.cumsum(counts) / num - f["cdf"](draws)[np.searchsorted(draws, at)])
    assert distance.max() < np.sqrt(np.log(2 / 1e-4) / (2 * num))


def test_draws_of_batches_and_events_follow_their_members():
    """Each coordinate's mean is within 5 standard errors: 1 in 30 000 runs fails by chance."""
    loc = 3 * np.random.default_rng(0).normal(size=(4, 3, 2))
    cov = np.array([[1.0, 0.5], [0.5, 2.0]])

    @jax.jit
    def run(loc):
        mixture = EnsembleMixture(dist.MultivariateNormal(loc, cov))
        assert (mixture.batch_shape, mixture.event_shape) == ((3,), (2,))
        draws = mixture.sample(jax.random.key(1), (20, 500))
        return draws, mixture.log_prob(draws), mixture.mean, mixture.variance

    draws, log_prob, mean, variance = map(np.asarray, run(loc))
    assert draws.shape == (20, 500, 3, 2)
    flat = draws.reshape(-1, 3, 2)
    assert (np.abs(flat.mean(0) - mean) < 5 * np.sqrt(variance / len(flat))).all()
    np.testing.assert_allclose(mean, loc.mean(0))
    np.testing.assert_allclose(variance, np.diag(cov) + loc.var(0))
    for row in range(3):
        members = [stats.multivariate_normal(m, cov).logpdf(draws[..., row, :])
                   for m in loc[:, row]]  # fmt: skip
        expected = logsumexp(members, axis=0) - np.log(4)
        np.testing.assert_allclose(log_prob[..., row], expected, rtol=1e-9)


def test_different_rows_come_from_different_members():
    mixture = EnsembleMixture(dist.Normal(np.array([[-100.0], [100.0]]), np.ones((2, 50))))
    signs = np.sign(jax.jit(mixture.sample)(jax.random.key(0)))
    assert signs.shape == (50,)
    assert 0 < (signs > 0).sum() < 50  # all alike: 1 in 5e14


@pytest.mark.parametrize("case", ["Normal", "StudentT", "LogNormal"])
def test_gradient_of_quantile_is_that_of_finite_differences(case):
    """In q and in the parameters, in both modes."""
    make = {
        "Normal": lambda loc, scale: dist.Normal(loc, scale),
        "StudentT": lambda loc, scale: dist.StudentT(jnp.array([3.0, 8.0]), loc, scale),
        "LogNormal": lambda loc, scale: dist.LogNormal(loc, scale),
    }[case]
    point = (jnp.array([0.2, 1.0]), jnp.array([0.5, 1.5]), jnp.array(0.8))
    f = jax.jit(lambda loc, scale, q: EnsembleMixture(make(loc, scale)).icdf(q))
    reverse = jax.jit(jax.grad(f, (0, 1, 2)))(*point)
    forward = jax.jit(jax.jacfwd(f, (0, 1, 2)))(*point)
    flat, unravel = jax.flatten_util.ravel_pytree(point)
    h = 1e-5
    shifted = jax.jit(jax.vmap(lambda s: f(*unravel(flat + s))))
    expected = (shifted(h * np.eye(len(flat))) - shifted(-h * np.eye(len(flat)))) / (2 * h)
    for gradient in (reverse, forward):
        found, _ = jax.flatten_util.ravel_pytree(gradient)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_second_derivative_of_quantile():
    f = jax.jit(lambda loc: EnsembleMixture(dist.Normal(loc, 1.0)).icdf(0.3))
    loc, h = jnp.array([0.0, 2.0]), 1e-5
    gradient = jax.jit(jax.vmap(jax.grad(f)))
    rows = (gradient(loc + h * np.eye(2)) - gradient(loc - h * np.eye(2))) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.hessian(f))(loc), rows, rtol=1e-5, atol=1e-9)


def test_gradient_of_counts_is_zero_and_of_zero_densities_finite():
    @jax.jit
    def gradients(rate, low, x):
        quantile = lambda rate: EnsembleMixture(dist.Poisson(rate)).icdf(0.3)
        density = lambda low: EnsembleMixture(dist.Uniform(low, low + 1.0)).log_prob(x)
        return jax.grad(quantile)(rate), jax.grad(density)(low)

    of_count, of_density = gradients(
        jnp.asarray(RATE), jnp.array([0.0, 5.0]), jnp.array(0.5)
    )
    np.testing.assert_array_equal(of_count, 0.0)
    assert np.isfinite(of_density).all()


def test_is_a_pytree():
    mixture = EnsembleMixture(dist.Normal(np.zeros((3, 2)), 1.0))
    leaves, treedef = jax.tree.flatten(mixture)
    again = treedef.unflatten(leaves)
    assert (again.batch_shape, again.num_members) == ((2,), 3)
    log_prob = jax.jit(lambda d, x: d.log_prob(x))
    expected = stats.norm().logpdf([0.3, 0.3])
    np.testing.assert_allclose(log_prob(again, 0.3), expected)
    np.testing.assert_allclose(log_prob(mixture, 0.3), expected)
    looped = jax.lax.map(functools.partial(log_prob, mixture), jnp.array([0.3, 0.3]))
    np.testing.assert_allclose(looped, [expected, expected])


def test_vmap_over_parameters():
    locs = np.random.default_rng(0).normal(size=(5, 3, 2))

    def make(loc):
        return EnsembleMixture(dist.Normal(loc, 1.0))

    def of(mixture):
        return mixture.log_prob(0.4), mixture.icdf(0.3), mixture.mean

    alone = jax.jit(lambda loc: of(make(loc)))
    expected = [np.stack(x) for x in zip(*[alone(loc) for loc in locs], strict=True)]
    mapped = jax.jit(jax.vmap(lambda loc: of(make(loc))))(locs)
    # As NumPyro's own, a mixture may come out of vmap, and go into it.
    out = promote_batch_shape(jax.vmap(make)(locs))
    assert (out.batch_shape, out.num_members) == ((5, 2), 3)
    one = make(locs[0])
    component = vmap_over(one.component_distribution, loc=0)
    axes = vmap_over(one, component_distribution=component)
    into = jax.jit(lambda x: jax.vmap(of, (axes,))(jax.vmap(make, out_axes=axes)(x)))(locs)
    for found in (mapped, jax.jit(of)(out), into):
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12)


def test_expand_keeps_its_kind():
    mixture = EnsembleMixture(dist.Normal(np.array([[0.0], [2.0]]), 1.0))
    assert mixture.batch_shape == (1,)
    wide = mixture.expand((5, 4)).expand((2, 5, 4))
    assert isinstance(wide, EnsembleMixture)
    assert (wide.batch_shape, wide.num_members) == ((2, 5, 4), 2)

    @jax.jit
    def of(d, x):
        names = ("mean", "variance", "aleatoric", "epistemic")
        parts = [jnp.broadcast_to(getattr(d, name), x.shape) for name in names]
        return d.log_prob(x), d.cdf(x), jnp.broadcast_to(d.icdf(0.3), x.shape), *parts

    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    for found, expected in zip(of(wide, x), of(mixture, x), strict=True):
        np.testing.assert_allclose(found, expected)
    assert wide.mean.shape == (2, 5, 4)
    draws = jax.jit(lambda key: wide.sample(key, (7,)))(jax.random.key(0))
    assert draws.shape == (7, 2, 5, 4)
    assert np.unique(draws).size == draws.size
    with pytest.raises(ValueError, match="Cannot broadcast"):
        wide.expand((3, 5, 4))


def test_is_a_site_under_plates_and_counts_are_enumerated():
    def model():
        with numpyro.plate("rows", 4):
            numpyro.sample("y", EnsembleMixture(dist.Normal(jnp.zeros(3), 1.0)))

    site = trace(seed(model, 0)).get_trace()["y"]
    assert site["value"].shape == site["fn"].log_prob(site["value"]).shape == (4,)
    switch = EnsembleMixture(dist.Bernoulli(jnp.array([[0.1, 0.2], [0.5, 0.8]])))
    assert switch.has_enumerate_support
    assert switch.is_discrete
    values = switch.enumerate_support()
    assert values.shape == (2, 2)
    assert switch.enumerate_support(expand=False).shape == (2, 1)
    np.testing.assert_allclose(jnp.exp(switch.log_prob(values))[1], [0.3, 0.5])


def test_supports_that_differ_are_held_by_their_hull():
    mixture = mixture_of("Uniform")
    inside = mixture.support(jnp.array([-1.1, -0.9, 1.5, 4.9, 5.1]))
    assert inside.tolist() == [False, True, True, True, False]
    assert np.isneginf(mixture.log_prob(2.0))  # between the members, and no warning
    nested = EnsembleMixture(dist.Uniform(jnp.array([[0.0], [2.0]]), 3.0).to_event(1))
    assert nested.support(jnp.array([[-0.5], [0.5]])).tolist() == [False, True]
    np.testing.assert_allclose(nested.log_prob(jnp.array([0.5])), np.log(1 / 6))


def test_types_are_kept():
    def of(loc, q):
        mixture = EnsembleMixture(dist.Normal(loc, jnp.ones_like(loc)))
        return mixture.log_prob(q), mixture.icdf(q), mixture.cdf(q), mixture.variance

    for dtype in (jnp.float32, jnp.float64):
        for value in jax.eval_shape(of, np.zeros(2, dtype), np.asarray(0.3, dtype)):
            assert value.dtype == dtype


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: EnsembleMixture(dist.Normal(0.0, 1.0)), ValueError,
         r"`component_distribution` must lead with a batch axis .* Normal of batch shape \(\)"),
        (lambda: EnsembleMixture(dist.Normal(jnp.zeros((0, 2)), 1.0)), ValueError,
         r"at least one member, got Normal of batch shape \(0, 2\)"),
        (lambda: EnsembleMixture(jnp.zeros(3)), TypeError,
         "`component_distribution` must be a numpyro.distributions.Distribution"),
        (lambda: EnsembleMixture(dist.Normal(jnp.zeros((3, 2)), 1.0).to_event(1)).icdf(0.5),
         NotImplementedError, r"need scalar events, got events of shape \(2,\)"),
        (lambda: EnsembleMixture(dist.Bernoulli(jnp.ones(3) / 2)).cdf(0.5),
         NotImplementedError, "members that have a `cdf`, which BernoulliProbs does not have"),
    ],
)  # fmt: skip
def test_errors(make, kind, words):
    with pytest.raises(kind, match=words):
        make()
