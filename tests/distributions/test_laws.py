"""Each law of distributions catches a distribution that breaks it."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import lax, random
from numpyro.distributions import constraints
from numpyro.distributions.util import promote_shapes, validate_sample

from numpyro_bayeslayers.testing import (
    DISTRIBUTION_LAWS,
    DistributionTrial,
    check_distribution,
)

LOC, SCALE = np.array([0.0, 1.0], np.float32), np.float32(1.5)


class Good(dist.Distribution):
    """A normal law that keeps every law."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc, scale, *, validate_args=None):
        self.loc, self.scale = promote_shapes(loc, scale)
        batch_shape = lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape, (), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        noise = random.normal(key, sample_shape + self.batch_shape + self.event_shape)
        return self.loc + self.scale * noise

    def density(self, value):
        return jax.scipy.stats.norm.logpdf(value, self.loc, self.scale)

    @validate_sample
    def log_prob(self, value):
        return self.density(value)

    @property
    def mean(self):
        return jnp.broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self):
        return jnp.broadcast_to(jnp.square(self.scale), self.batch_shape)


class NeverValidates(Good):
    def __init__(self, loc, scale):
        super().__init__(loc, scale, validate_args=False)


class ForgetsValuesInJit(Good):
    def __init__(self, loc, scale):
        super().__init__(loc * jnp.ones(()), scale * jnp.ones(()))


class LosesAnAxis(Good):
    def density(self, value):
        return jnp.sum(super().density(value), axis=-1)


class RepeatsDraws(Good):
    def sample(self, key, sample_shape=()):
        draws = super().sample(key, sample_shape[:1])
        extra = (1,) * (len(sample_shape) - 1)
        draws = draws.reshape(sample_shape[:1] + extra + self.batch_shape)
        return jnp.broadcast_to(draws, sample_shape + self.batch_shape)


class Averages(Good):
    """Its events are means, not sums, over the axes that `to_event` takes."""

    def expand(self, batch_shape):
        return Expanded(self, tuple(batch_shape))


class Expanded(dist.ExpandedDistribution):
    def to_event(self, reinterpreted_batch_ndims=None):
        return Averaged(self, reinterpreted_batch_ndims)


class Averaged(dist.Independent):
    def log_prob(self, value):
        return super().log_prob(value) / 2


class ClaimsPositive(Good):
    support = constraints.positive


class SilentOutside(Good):
    support = constraints.greater_than(-100.0)
    log_prob = Good.density


class LooksAtValues(Good):
    def density(self, value):
        return super().density(value) if np.all(np.asarray(self.scale) > 0) else value


class LosesAField(Good):
    def __init__(self, loc, scale):
        self.power = 2.0
        super().__init__(loc, scale)

    def density(self, value):
        half = 0.5 * ((value - self.loc) / self.scale) ** self.power
        return -half - jnp.log(self.scale) - 0.5 * jnp.log(2 * jnp.pi)


class KeepsItsOwnAxes(Good):
    """As many broadcasting classes, wrong once `jax.vmap` has added an axis."""

    def __init__(self, loc, scale):
        super().__init__(loc, scale)
        self.loc, self.scale = jnp.asarray(loc), jnp.asarray(scale)


class SinglePrecision(Good):
    def density(self, value):
        return super().density(value).astype(jnp.float32)


class Cancels(Good):
    def density(self, value):
        value, loc = value + 1e3, self.loc + 1e3
        square = (value**2 - 2 * value * loc + loc**2) / self.scale**2
        return -0.5 * square - jnp.log(self.scale) - 0.5 * jnp.log(2 * jnp.pi)


class NotNormalized(Good):
    def density(self, value):
        return super().density(value) + 0.05  # 5 percent too much


class DrawsTooWide(Good):
    def sample(self, key, sample_shape=()):
        return self.loc + 1.05 * (super().sample(key, sample_shape) - self.loc)


class WrongVariance(Good):
    @property
    def variance(self):
        return 1.1 * super().variance


class StuckParameter(Good):
    def density(self, value):
        scale = lax.stop_gradient(self.scale)
        return jax.scipy.stats.norm.logpdf(value, self.loc, scale)


class NotANumberAtZero(Good):
    def density(self, value):
        size = jnp.sqrt(jnp.square(value))  # whose derivative at zero is 0/0
        return super().density(jnp.sign(value) * size)


class StuckDraws(Good):
    def sample(self, key, sample_shape=()):
        draws = super().sample(key, sample_shape)
        return self.loc + lax.stop_gradient(draws - self.loc)


class IndependentCauchys(dist.MultivariateStudentT):
    """Claims a multivariate Cauchy, but draws each coordinate with a chi square of its own."""

    def __init__(self, df):
        super().__init__(df, jnp.zeros(3), jnp.eye(3))

    def sample(self, key, sample_shape=()):
        return random.cauchy(key, sample_shape + self.batch_shape + self.event_shape)


class Uncorrelated(dist.MultivariateNormal):
    def __init__(self, loc):
        super().__init__(loc, jnp.array([[1.0, 0.2], [0.2, 1.0]]))

    def sample(self, key, sample_shape=()):
        shape = sample_shape + self.batch_shape + self.event_shape
        return self.loc + random.normal(key, shape)


class WrongCounts(dist.Poisson):
    def sample(self, key, sample_shape=()):
        return random.poisson(key, 1.05 * self.rate, sample_shape + self.batch_shape)


NORMAL = {"loc": LOC, "scale": SCALE}
CAUGHT = [
    ("arguments", NeverValidates, NORMAL, "`loc` = .* raises nothing"),
    pytest.param(
        *("arguments_in_jit", ForgetsValuesInJit, NORMAL, "raises nothing"),
        marks=pytest.mark.skipif(
            tuple(map(int, numpyro.__version__.split(".")[:2])) < (0, 22),
            reason="NumPyro itself does not look at arguments in compiled functions",
        ),
    ),
    ("shapes", LosesAnAxis, NORMAL, r"\(\)"),
    ("expand", RepeatsDraws, NORMAL, "cells have equal draws"),
    ("to_event", Averages, NORMAL, r"to_event\(1\)"),
    ("support", ClaimsPositive, NORMAL, "draws are outside the support"),
    ("out_of_support", SilentOutside, NORMAL, "array"),
    ("jit", LooksAtValues, NORMAL, "Tracer|traced array"),
    ("pytree", LosesAField, NORMAL, "power"),
    ("vmap", KeepsItsOwnAxes, NORMAL, "Incompatible shapes"),
    ("float64", SinglePrecision, NORMAL, "log_prob"),
    ("float32", Cancels, NORMAL, "Not equal to tolerance"),
    (
        "density",
        NotNormalized,
        NORMAL,
        "integrates to more than 1|do not have this density",
    ),
    ("density", DrawsTooWide, NORMAL, "draws do not have this density: chi square"),
    ("density", IndependentCauchys, {"df": np.float32(1)}, "a probe that should have mean"),
    ("density", Uncorrelated, {"loc": np.zeros(2, np.float32)}, "a probe that should have"),
    ("density", WrongCounts, {"rate": np.float32(4.0)}, "do not have this density"),
    ("moments", WrongVariance, NORMAL, "the variance is"),
    ("density_gradients", StuckParameter, NORMAL, "the derivative by `scale`"),
    ("density_gradients", NotANumberAtZero, NORMAL, "the derivative by .* is not finite"),
    ("sample_gradients", StuckDraws, NORMAL, "derivatives of draws by `scale`"),
]


def test_a_good_distribution_keeps_all():
    report = check_distribution(Good, NORMAL)
    assert set(report.kept) == set(DISTRIBUTION_LAWS)


@pytest.mark.parametrize(("law", "broken", "params", "words"), CAUGHT)
def test_law_catches(law, broken, params, words):
    with pytest.raises(Exception, match=words):
        DISTRIBUTION_LAWS[law](DistributionTrial(broken, params))


def test_every_law_catches_something():
    laws = {getattr(case, "values", case)[0] for case in CAUGHT}
    assert laws == set(DISTRIBUTION_LAWS)


def test_the_report_names_the_law_and_the_distribution():
    excused = dict.fromkeys(set(DISTRIBUTION_LAWS) - {"moments", "support"}, "not tried")
    with pytest.raises(AssertionError) as raised:
        check_distribution(WrongVariance, NORMAL, except_for=excused)
    report = str(raised.value)
    assert report.startswith("WrongVariance\nkeeps support\n")
    assert "BREAKS moments: Mean and variance, where finite, agree with those" in report
    assert "is excused from jit: not tried" in report


def test_unknown_law():
    with pytest.raises(ValueError, match=r"`except_for` names \['entropy'\]; the laws are"):
        check_distribution(Good, NORMAL, except_for={"entropy": "has none"})
