"""Each distribution of all members agrees with that of one, under 0, 1 and 2 plates."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.distributions import constraints, transforms

from numpyro_bayeslayers.handlers._ensemble import ensemble
from numpyro_bayeslayers.handlers._ensemble._axis import MemberAxis
from numpyro_bayeslayers.handlers._ensemble._distribution import lift, lower
from numpyro_bayeslayers.handlers._ensemble._vmapped import VmappedDistribution

from .members import SIZE, compiled

SPD = jnp.array([[2.0, 0.5], [0.5, 1.0]])

# A distribution from a positive number `p` that each member has its own of.
DISTRIBUTIONS = {
    "AsymmetricLaplace": lambda p: dist.AsymmetricLaplace(0.0, p, 0.5),
    "BernoulliLogits": lambda p: dist.Bernoulli(logits=p),
    "BernoulliProbs": lambda p: dist.Bernoulli(p / 2),
    "Beta": lambda p: dist.Beta(p, 2.0),
    "BetaBinomial": lambda p: dist.BetaBinomial(p, 2.0, 5),
    "Binomial": lambda p: dist.Binomial(5, p / 2),
    "Categorical": lambda p: dist.Categorical(jnp.stack([p, 1 - p / 2]) / (1 + p / 2)),
    "CategoricalLogits": lambda p: dist.Categorical(logits=p * jnp.arange(3.0)),
    "Cauchy": lambda p: dist.Cauchy(p, 1.0),
    "Chi2": lambda p: dist.Chi2(p),
    "Delta": lambda p: dist.Delta(p, log_density=-p),
    "DeltaVector": lambda p: dist.Delta(p * jnp.ones(3), -p, event_dim=1),
    "Dirichlet": lambda p: dist.Dirichlet(p * jnp.ones(3)),
    "DiscreteUniform": lambda p: dist.DiscreteUniform(0, 4).mask(p > 0.2),
    "Expanded": lambda p: dist.Normal(p, 1.0).expand([4]).to_event(1),
    "Exponential": lambda p: dist.Exponential(p),
    "Gamma": lambda p: dist.Gamma(p, 2.0),
    "GammaPoisson": lambda p: dist.GammaPoisson(p, 1.0),
    "GaussianRandomWalk": lambda p: dist.GaussianRandomWalk(p, 4),
    "Gumbel": lambda p: dist.Gumbel(p, 1.0),
    "HalfCauchy": lambda p: dist.HalfCauchy(p),
    "HalfNormal": lambda p: dist.HalfNormal(p),
    "ImproperUniform": lambda p: dist.ImproperUniform(
        constraints.greater_than(p), (), (2,)
    ),
    "ImproperUniformShared": lambda p: dist.ImproperUniform(constraints.simplex, (), (3,)),
    "Independent": lambda p: dist.Normal(p * jnp.ones((2, 3)), 1.0).to_event(2),
    "InverseGamma": lambda p: dist.InverseGamma(p, 2.0),
    "Kumaraswamy": lambda p: dist.Kumaraswamy(p, 2.0),
    "Laplace": lambda p: dist.Laplace(0.0, p),
    "LeftTruncated": lambda p: dist.TruncatedNormal(0.0, 1.0, low=p),
    "LKJ": lambda p: dist.LKJ(3, p),
    "LKJCholesky": lambda p: dist.LKJCholesky(3, p),
    "Logistic": lambda p: dist.Logistic(p, 1.0),
    "LogNormal": lambda p: dist.LogNormal(p, 0.5),
    "LogUniform": lambda p: dist.LogUniform(p, p + 2.0),
    "LowRankMultivariateNormal": lambda p: dist.LowRankMultivariateNormal(
        p * jnp.ones(3), jnp.ones((3, 1)), jnp.ones(3)
    ),
    "Masked": lambda p: dist.Normal(p, 1.0).mask(p > 0.5),
    "MixtureGeneral": lambda p: dist.MixtureGeneral(
        dist.Categorical(jnp.ones(2) / 2), [dist.Normal(p, 1.0), dist.Normal(-p, 2.0)]
    ),
    "MixtureSameFamily": lambda p: dist.MixtureSameFamily(
        dist.Categorical(jnp.ones(3) / 3), dist.Normal(p * jnp.arange(3.0), 1.0)
    ),
    "Multinomial": lambda p: dist.Multinomial(6, jnp.stack([p, p, 2.0]) / (2 * p + 2.0)),
    "MultivariateNormal": lambda p: dist.MultivariateNormal(p * jnp.ones(2), p * SPD),
    "MultivariateNormalPrecision": lambda p: dist.MultivariateNormal(
        jnp.zeros(2), precision_matrix=p * SPD
    ),
    "MultivariateStudentT": lambda p: dist.MultivariateStudentT(
        4.0, p * jnp.ones(2), jnp.linalg.cholesky(SPD)
    ),
    "NegativeBinomial2": lambda p: dist.NegativeBinomial2(p, 2.0),
    "Normal": lambda p: dist.Normal(p, 1.0),
    "NormalShared": lambda p: dist.Normal(0.0, 1.0).expand([3]).to_event(1),
    "OrderedLogistic": lambda p: dist.OrderedLogistic(p, jnp.array([0.0, 1.0])),
    "Pareto": lambda p: dist.Pareto(p, 2.0),
    "Poisson": lambda p: dist.Poisson(p),
    "StudentT": lambda p: dist.StudentT(4.0, p, 1.0),
    "Transformed": lambda p: dist.TransformedDistribution(
        dist.Normal(p, 1.0), [transforms.AffineTransform(p, 2.0), transforms.ExpTransform()]
    ),
    "TransformedMatrix": lambda p: dist.TransformedDistribution(
        dist.Normal(0.0, 1.0).expand([2]).to_event(1),
        transforms.LowerCholeskyAffine(p * jnp.ones(2), jnp.linalg.cholesky(SPD)),
    ),
    "TransformedVector": lambda p: dist.TransformedDistribution(
        dist.Normal(p * jnp.ones(3), 1.0).to_event(1),
        transforms.AffineTransform(p, jnp.arange(1.0, 4)),
    ),
    "TwoSidedTruncated": lambda p: dist.TruncatedNormal(0.0, 1.0, low=-p, high=p),
    "Uniform": lambda p: dist.Uniform(0.0, p),
    "UniformBelow": lambda p: dist.Uniform(p, p + 1.0),
    "VonMises": lambda p: dist.VonMises(0.0, p),
    "Weibull": lambda p: dist.Weibull(p, 2.0),
    "ZeroInflatedPoisson": lambda p: dist.ZeroInflatedPoisson(p / 3, 2.0),
    "ZeroSumNormal": lambda p: dist.ZeroSumNormal(p, (3,)),
}

UNSAMPLED = {
    "ImproperUniform": jnp.array([3.0, 4.0]),
    "ImproperUniformShared": jnp.array([0.2, 0.3, 0.5]),
}
# Native, expanded, masked, shared, wrapped, transformed, with bounds, improper.
OF_EACH_BUILD = (
    "Delta",
    "Expanded",
    "GaussianRandomWalk",
    "ImproperUniform",
    "Independent",
    "Masked",
    "MixtureSameFamily",
    "MultivariateNormal",
    "NormalShared",
    "TransformedVector",
    "UniformBelow",
)
DRAWN_BY_REJECTION = (
    *("Beta", "BetaBinomial", "Binomial", "Chi2", "Dirichlet", "Gamma", "GammaPoisson"),
    *("InverseGamma", "LKJ", "LKJCholesky", "Multinomial", "MultivariateStudentT"),
    *("NegativeBinomial2", "Poisson", "StudentT", "VonMises", "ZeroInflatedPoisson"),
)
NATIVE = (
    "Normal",
    "Beta",
    "Gamma",
    "MultivariateNormal",
    "StudentT",
    "HalfNormal",
    "LogNormal",
)


def run(make, plates, value=None):
    """The parameter of each member, and the site of all members."""

    def model():
        p = 0.3 + random.uniform(numpyro.prng_key())
        with contextlib.ExitStack() as stack:
            for i, size in enumerate(plates[::-1]):
                stack.enter_context(numpyro.plate(f"plate{i}", size))
            obs = (
                None if value is None else jnp.broadcast_to(value, (*plates, *value.shape))
            )
            numpyro.sample("x", make(p), obs=obs)
        return p

    # Its own `dim`, since the nesting that is found is one at least.
    with handlers.seed(rng_seed=1), handlers.trace() as sites:
        p = ensemble(model, SIZE, dim=-len(plates) - 1)()
    return p, sites["x"]


def each_under_plates():
    """One of each build under any number of plates, most of the others under one.

    The rest is slow: what is drawn by rejection takes seconds to compile.
    """
    for name in DISTRIBUTIONS:
        for sizes in ((), (2,), (2, 4)):
            is_fast = len(sizes) == 1 and name not in DRAWN_BY_REJECTION
            marks = () if is_fast or name in OF_EACH_BUILD else pytest.mark.slow
            yield pytest.param(name, sizes, id=f"{name}-{len(sizes)}", marks=marks)


@pytest.mark.parametrize(("name", "sizes"), list(each_under_plates()))
def test_density_and_samples(name, sizes):
    make, plates, is_drawn = DISTRIBUTIONS[name], sizes[::-1], name not in UNSAMPLED

    @compiled
    def compare():
        p, site = run(make, plates, UNSAMPLED.get(name))
        fn, value = site["fn"], site["value"]

        def one(p_and_value):
            p, value = p_and_value
            d = make(p).expand(plates)
            return d.log_prob(value), jnp.all(d.support(value))

        expected, is_inside = jax.lax.map(one, (p, value))  # one member after the other
        draws = fn.sample(random.key(0), (5,)) if is_drawn else value[None]
        is_right = jnp.all(fn.support(value)) & jnp.all(is_inside)
        return fn, value, draws, fn.log_prob(value), expected, is_right

    fn, value, draws, log_prob, expected, is_right = compare()
    assert fn.batch_shape == (SIZE, *plates) == log_prob.shape
    assert value.shape == fn.shape() == (SIZE, *plates, *make(0.5).event_shape)
    assert draws.shape[1:] == value.shape
    assert is_right
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)
    if is_drawn and not fn.is_discrete and "Delta" not in name:
        assert not jnp.allclose(value[0], value[1])


@pytest.mark.parametrize("name", NATIVE)
def test_the_class_is_kept_where_it_broadcasts(name):
    """Analytic divergences and reparameterizations look at the class."""
    fn = jax.eval_shape(lambda: run(DISTRIBUTIONS[name], (2,))[1]["fn"])
    while isinstance(fn, dist.ExpandedDistribution | dist.Independent):
        fn = fn.base_dist
    assert type(fn) is type(DISTRIBUTIONS[name](0.5))


def test_a_class_that_takes_one_member_only_is_wrapped():
    class Stubborn(dist.Distribution):
        """Refuses parameters with axes."""

        arg_constraints = {"loc": constraints.real}
        support = constraints.real
        reparametrized_params = ["loc"]

        def __init__(self, loc, *, validate_args=None):
            assert jnp.ndim(loc) == 0
            self.loc = loc
            super().__init__((), (), validate_args=validate_args)

        def sample(self, key, sample_shape=()):
            return self.loc + random.normal(key, sample_shape)

        def log_prob(self, value):
            return -jnp.abs(value - self.loc)

        mean = property(lambda self: self.loc)
        variance = property(lambda self: jnp.ones(()))

        def cdf(self, value):
            return value - self.loc

        def icdf(self, q):
            return q + self.loc

    p, site = run(Stubborn, (2,))
    fn = site["fn"]
    base = fn.base_dist
    assert isinstance(base, VmappedDistribution) and base.has_rsample
    np.testing.assert_allclose(
        fn.log_prob(site["value"]), -jnp.abs(site["value"] - p[:, None]), rtol=1e-6
    )
    np.testing.assert_allclose(base.mean[:, 0], p)
    np.testing.assert_allclose(base.variance, jnp.ones((SIZE, 1)))
    q = jnp.linspace(0.1, 0.9, 5)[:, None, None]
    np.testing.assert_allclose(
        base.cdf(base.icdf(q)), jnp.broadcast_to(q, (5, SIZE, 1)), rtol=1e-5
    )
    assert base.rsample(random.key(0), (4,)).shape == (4, SIZE, 1)


@pytest.mark.parametrize("expand", [True, False])
def test_wrapped_supports_are_enumerated(expand):
    probs = jnp.array([0.2, 0.5, 0.9])
    wrapped = VmappedDistribution(jax.vmap(dist.BernoulliProbs)(probs), MemberAxis(3, 2))
    values = wrapped.enumerate_support(expand=expand)
    assert values.shape == ((2, 3, 1, 1) if expand else (2, 1, 1, 1))
    expected = jnp.stack([1 - probs, probs])[..., None, None]
    np.testing.assert_allclose(jnp.exp(wrapped.log_prob(values)), expected, rtol=1e-5)
    assert wrapped.has_enumerate_support and wrapped.is_discrete


def test_wrapped_distributions_pass_through_transformations():
    wrapped = VmappedDistribution(
        jax.vmap(lambda s: dist.GaussianRandomWalk(s, 4))(jnp.ones(3)), MemberAxis(3, 1)
    )
    value = wrapped.sample(random.key(0), (5,))
    plain = wrapped.log_prob(value)
    np.testing.assert_allclose(
        jax.jit(lambda d: d.log_prob(value))(wrapped), plain, rtol=1e-5
    )
    assert wrapped.expand((2, 3, 1)).log_prob(value[:2]).shape == (2, 3, 1)


def leading(d):
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (SIZE, *jnp.shape(x))), d)


@pytest.mark.parametrize("batch_shape", [(), (2,), (3, 2), (4, 3, 2)])
@pytest.mark.parametrize("nesting", [0, 1, 2])
def test_batch_axes_left_of_the_plates_stay_left(batch_shape, nesting):
    """As time does in a `scan`, and enumeration: the members stand `nesting` from the right."""
    axis = MemberAxis(SIZE, nesting)
    one = dist.Normal(jnp.arange(24.0).reshape(4, 3, 2)[(0,) * (3 - len(batch_shape))], 1.0)
    lifted = lift(leading(one), axis)
    assert lifted.batch_shape == axis.batch_shape(batch_shape)
    position = len(lifted.batch_shape) - nesting - 1
    assert lifted.batch_shape[position] == SIZE
    taken = jnp.take(lifted.mean, 1, position)
    np.testing.assert_array_equal(taken.reshape(batch_shape), one.mean)


@pytest.mark.parametrize(
    "one",
    [
        dist.Normal(jnp.arange(6.0).reshape(2, 3), 1.0).to_event(2),
        dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2),
        dist.Laplace(jnp.zeros(3), jnp.ones(3)),
        dist.Delta(jnp.arange(3.0), event_dim=1),
        dist.Normal(0.0, 1.0).mask(True),
    ],
    ids=["matrix", "expanded", "batch", "delta", "masked"],
)
def test_lower_undoes_lift(one):
    axis = MemberAxis(SIZE, 2)
    back = lower(lift(leading(one), axis), axis, one.batch_shape, lambda x: x[0])
    assert (back.batch_shape, back.event_shape) == (one.batch_shape, one.event_shape)
    value = one.sample(random.key(0))
    np.testing.assert_allclose(back.log_prob(value), one.log_prob(value), rtol=1e-6)


def test_lower_gives_up_on_what_it_cannot_take_apart():
    walk = VmappedDistribution(
        leading(dist.GaussianRandomWalk(1.0, 4)), MemberAxis(SIZE, 1)
    )
    assert lower(walk, MemberAxis(SIZE, 1), (), lambda x: x[0]) is None
