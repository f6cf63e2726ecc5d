"""Columns drawn one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, trace
from scipy import stats

from numpyro_bayeslayers.distributions import IndependentColumns

COVARIANCE = np.array([[1.0, 0.6], [0.6, 2.0]])


def columns(n=4):
    base = dist.MultivariateNormal(jnp.array([1.0, -1.0]), jnp.asarray(COVARIANCE))
    return IndependentColumns(base, n)


def test_density_is_the_product_over_columns():
    value = np.random.default_rng(0).normal(size=(3, 2, 4))
    expected = [
        sum(
            stats.multivariate_normal([1, -1], COVARIANCE).logpdf(v[:, m]) for m in range(4)
        )
        for v in value
    ]
    np.testing.assert_allclose(columns().log_prob(value), expected, rtol=1e-5)


def test_columns_are_independent_and_rows_are_not():
    """Standard errors of 20,000 draws are below 0.015, so 0.08 is beyond 5 of them."""
    draws = columns(3).sample(jax.random.key(0), (20_000,))
    found = np.cov(np.swapaxes(draws, 1, 2).reshape(20_000, 6).T)
    np.testing.assert_allclose(found, np.kron(np.eye(3), COVARIANCE), atol=0.08)


def test_is_one_site_under_a_plate():
    def model():
        with numpyro.plate("groups", 5):
            numpyro.sample("W", columns())

    site = trace(seed(model, 0)).get_trace()["W"]
    assert site["fn"].batch_shape == (5,)
    assert site["value"].shape == (5, 2, 4)
    assert np.unique(site["value"]).size == 40


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("base", "n", "kind", "words"),
    [
        (dist.Normal(0.0, 1.0), 2, ValueError, r"`base` must have events of shape \(d,\)"),
        (dist.Dirichlet(np.ones(3)), 2, ValueError, "Dirichlet on Simplex"),
        (dist.Uniform(np.zeros(2), np.ones(2)).to_event(1), 2, ValueError, "same support"),
        (dist.Normal(np.zeros(2), 1.0).to_event(1), 0, ValueError, "`n` must be"),
        (np.zeros(3), 2, TypeError, "`base` must be a numpyro.distributions.Distribution"),
    ],
)
def test_errors(base, n, kind, words):
    with pytest.raises(kind, match=words):
        IndependentColumns(base, n)
