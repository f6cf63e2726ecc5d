"""The mean of the likelihood and the density of observations, against loops over draws."""

import functools

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import log_likelihood

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, Stein, fit
from numpyro_bayeslayers.layers import categorical_link, poisson_link

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
ROWS = 20
X = np.linspace(-1.0, 1.0, ROWS)
RNG = np.random.default_rng(0)
Y = 1.0 + 2.0 * X + 0.5 * RNG.normal(size=ROWS)


def lines(x, y=None, sigma=0.5):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.deterministic("f", w[0] + w[1] * x)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(w[0] + w[1] * x, sigma), obs=y)


def posterior():
    """By the normal equations."""
    x = np.stack([np.ones(ROWS), X], 1)
    covariance = np.linalg.inv(np.eye(2) + x.T @ x / 0.25)
    return x, covariance @ x.T @ Y / 0.25, covariance


WAYS = [
    pytest.param(
        MCMC(num_warmup=200, num_samples=1000, num_chains=1), marks=pytest.mark.slow
    ),
    VI(guide="full_rank"),
]


@pytest.mark.parametrize("method", WAYS)
def test_against_the_closed_form(method):
    """The curve's spread is that of the posterior, without noise; the density is normal.

    Within a fifth of a posterior width, for both methods' own errors.
    """
    steps = {} if isinstance(method, MCMC) else {"num_steps": 1500}
    found = quiet(lines, y=Y, x=X, method=method, **steps)
    x, mean, covariance = posterior()
    width = np.sqrt(np.einsum("ni,ij,nj->n", x, covariance, x))
    curve = found.expected(x=X, num_samples=1000)
    assert curve.samples.shape == (1000, ROWS)
    assert (abs(curve.mean - x @ mean) < 0.25 * width).all()
    np.testing.assert_allclose(curve.std, width, rtol=0.2)
    spread = np.sqrt(width**2 + 0.25)
    right = dist.Normal(x @ mean, spread).log_prob(Y)
    np.testing.assert_allclose(found.log_density(y=Y, x=X), right, atol=0.1)


@pytest.mark.parametrize(
    "method",
    [
        Ensemble(num_members=3),
        pytest.param(Stein(num_particles=3), marks=pytest.mark.slow),
    ],
)
def test_against_a_loop_over_draws(method):
    """Points, one for each member: NumPyro's own densities of the same parameters."""
    method = method if isinstance(method, Stein) else Ensemble(num_members=3, guide="delta")
    found = quiet(lines, y=Y, x=X, method=method, num_steps=5)
    w = np.asarray(found.params["w_auto_loc"]).reshape(3, 2)
    curve = np.asarray(found.expected(x=X[:4], num_samples=3).samples)
    right = np.stack([w[i, 0] + w[i, 1] * X[:4] for i in range(3)])
    np.testing.assert_allclose(np.sort(curve, 0), np.sort(right, 0), rtol=1e-4)
    each = np.asarray(log_likelihood(lines, {"w": w}, X, Y)["obs"], float)
    right = np.log(np.mean([np.exp(row) for row in each], axis=0))
    density = found.log_density(y=Y, x=X, num_samples=3)
    np.testing.assert_allclose(density, right, rtol=1e-4)
    blocks = found.log_density(y=Y, x=X, num_samples=3, batch_size=7)
    np.testing.assert_allclose(blocks, right, rtol=1e-4)


def test_counts_outputs_and_rows_that_do_not_count():
    def counts(x, seen, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1))
        return poisson_link(np.ones(2) * w * x[:, None], y, mask=seen)

    y, seen = RNG.poisson(2.0, (ROWS, 2)), np.arange(ROWS) > 4
    found = quiet(counts, y=y, x=X, seen=seen, method=VI(guide="delta"), num_steps=3)
    rate = np.exp(found.params["w_auto_loc"][0] * X)[:, None]
    curve = found.expected(x=X, num_samples=2)
    np.testing.assert_allclose(curve.mean, rate * np.ones(2), rtol=1e-4)
    right = np.asarray(dist.Poisson(rate).log_prob(y)).sum(1) * seen
    got = found.log_density(y=y, x=X, seen=seen, num_samples=2)
    np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="`seen` must be given"):
        found.log_density(y=y, x=X)


def test_classes_have_no_mean():
    def words(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([3]).to_event(1))
        return categorical_link(x[:, None] * w, y)

    y = ["a", "b", "c", "b"] * 5
    found = quiet(words, y=y, x=X, num_steps=1, method=VI(guide="delta"))
    with pytest.raises(ValueError, match="Categorical, has no mean"):
        found.expected(x=X)
    w = found.params["w_auto_loc"][0]
    right = jax.nn.log_softmax(X[:, None] * w)[np.arange(ROWS), [0, 1, 2, 1] * 5]
    np.testing.assert_allclose(found.log_density(y=y, x=X, num_samples=2), right, rtol=1e-4)
    with pytest.raises(ValueError, match="`y` has the level 'd'"):
        found.log_density(y=["d"] * ROWS, x=X)
