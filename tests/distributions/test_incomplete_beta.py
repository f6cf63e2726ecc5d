"""The incomplete beta function in single precision against SciPy in double."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.special
import scipy.stats

from numpyro_bayeslayers.distributions._cdf import cdf_of
from numpyro_bayeslayers.distributions._counts import LogNegativeBinomial
from numpyro_bayeslayers.distributions._incomplete_beta import incomplete_beta


def arguments(a, b, x):
    """In double precision, then cut."""
    excess = a * (1 - x) - b * x
    return [jnp.asarray(v, jnp.float32) for v in (a, b, x, 1 - x, excess)]


@pytest.mark.parametrize("a", [0.02, 0.5, 1.0, 30.0, 1e4, 1e7])
@pytest.mark.parametrize("b", [0.3, 1.0, 50.0, 1e6])
def test_is_that_of_scipy(a, b):
    x = np.concatenate([scipy.stats.beta(a, b).ppf([0.01, 0.3, 0.5, 0.9, 0.999])])
    x = x[(x > 1e-30) & (x < 1)]
    a, b = a * np.ones_like(x), b * np.ones_like(x)
    found = jax.jit(incomplete_beta)(*arguments(a, b, x))
    np.testing.assert_allclose(found, scipy.special.betainc(a, b, x), atol=1e-4)


def test_ends():
    one = np.ones(2)
    found = incomplete_beta(*arguments(2 * one, 3 * one, np.array([0.0, 1.0])))
    np.testing.assert_array_equal(found, [0.0, 1.0])


def test_derivative_is_the_density():
    a, b, x, rest, _ = arguments(*np.array([[3.0], [4.0], [0.3]]))
    slope = jax.grad(lambda x: incomplete_beta(a, b, x, 1 - x, a * (1 - x) - b * x).sum())(
        x
    )
    np.testing.assert_allclose(slope, scipy.stats.beta(3, 4).pdf(0.3), rtol=1e-5)
    by_a = jax.grad(lambda a: incomplete_beta(a, b, x, rest, a * rest - b * x).sum())
    with pytest.raises(
        NotImplementedError, match="no derivative with respect to its parameters"
    ):
        by_a(a)


@pytest.mark.parametrize("mean", [0.5, 300.0, 1e6])
@pytest.mark.parametrize("size", [0.1, 5.0, 1e4, 1e8])
def test_counts_have_the_distribution_function_of_scipy(mean, size):
    law = scipy.stats.nbinom(size, size / (size + mean))
    y = np.floor(np.maximum(mean + law.std() * np.array([-2.0, -0.5, 0.0, 1.0, 3.0]), -1))
    found = LogNegativeBinomial(jnp.log(mean), size).cdf(y)
    np.testing.assert_allclose(found, law.cdf(y), atol=1e-4)


@pytest.mark.parametrize("size", [0.01, 3.0, 1e3, 1e6])
def test_distribution_functions_of_numpyro_have_their_digits(size):
    """Poisson's, the negative binomial's in each form, and Student's t, at large parameters."""
    mean = 1e5
    y = np.floor(size + np.sqrt(size) * np.array([-1.0, 0.0, 2.0]))
    found = cdf_of(dist.Poisson(size), y)
    np.testing.assert_allclose(found, scipy.stats.poisson(size).cdf(y), atol=2e-5)
    law = scipy.stats.nbinom(size, size / (size + mean))
    y = np.floor(law.ppf([0.2, 0.5, 0.99]))
    for prediction in (
        dist.NegativeBinomial2(mean, size),
        dist.NegativeBinomialLogits(size, np.log(mean / size)),
        dist.GammaPoisson(size, size / mean),
    ):
        np.testing.assert_allclose(cdf_of(prediction, y), law.cdf(y), atol=1e-4)
    z = np.array([-3.0, -0.1, 0.0, 1.5, np.inf])
    found = cdf_of(dist.StudentT(1 + size, 2.0, 3.0), 2 + 3 * z)
    np.testing.assert_allclose(found, scipy.stats.t(1 + size).cdf(z), atol=1e-6)
