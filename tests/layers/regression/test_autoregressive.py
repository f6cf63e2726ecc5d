"""Stationary effects of times: covariances of the prior, forecasts, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute

from numpyro_bayeslayers.infer import fit
from numpyro_bayeslayers.layers import AR1Layer, gaussian_link

from .draws import run

TIMES = np.array([0, 3, 3, 5])


def test_each_time_follows_from_the_one_before():
    out, v, sites = run(AR1Layer(), TIMES, num_times=6, units=2)
    assert list(sites) == ["a.scale", "a.persistence", "a.theta_base", "a.theta"]
    phi, scale, base = 2 * v["persistence"] - 1, v["scale"], v["theta_base"]
    expected = [scale * base[0]]
    for t in range(1, 6):
        expected.append(phi * expected[-1] + scale * np.sqrt(1 - phi**2) * base[t])
    np.testing.assert_allclose(v["theta"], expected, rtol=1e-9)
    np.testing.assert_allclose(out, v["theta"][TIMES], rtol=1e-12)


@pytest.mark.parametrize("phi", [-0.6, 0.0, 0.95])
def test_the_covariance_is_that_of_the_page(phi):
    """The effects are linear in the base: their Jacobian has the whole covariance."""
    known = {"a.scale": jnp.array([1.5]), "a.persistence": jnp.array([(1 + phi) / 2])}

    def effects(base):
        model = substitute(AR1Layer(), data={**known, "a.theta_base": base[:, None]})
        return seed(model, 0)("a", np.arange(7), 7)[:, 0]

    root = np.asarray(jax.jacobian(effects)(jnp.zeros(7)))
    lag = np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    np.testing.assert_allclose(root @ root.T, 1.5**2 * phi**lag, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_forecast_is_the_normal_given_what_was_seen():
    """Ten times seen all but exactly, three to come: phi^h of the last, and what is new.

    4,000 draws: 5 standard errors of the mean and 5 times 0.022 of the variance (6e-7); the
    guide of full rank is exact but for what optimization leaves, 0.05 here.
    """
    phi, scale = 0.8, 1.5
    layer = AR1Layer(dist.LogNormal(np.log(scale), 1e-3), dist.Beta(0.9e6, 0.1e6))
    y = np.array([0.3, -0.5, 1.0, 2.0, 1.5, 0.5, 1.0, 2.5, 2.0, 3.0])

    def model(t, y=None):
        return gaussian_link(layer("week", t, 13), y, scale=0.1)

    found = fit(model, y=y, t=np.arange(10), num_steps=2500, progress_bar=False)
    draws = np.asarray(found.predict(t=np.array([10, 12]), num_samples=4000).samples)
    for column, h in enumerate((1, 3)):
        variance = scale**2 * (1 - phi ** (2 * h)) + 0.01
        error = 5 * np.sqrt(variance / 4000) + 0.05
        np.testing.assert_allclose(draws[:, column].mean(), phi**h * 3.0, atol=error)
        np.testing.assert_allclose(draws[:, column].var(), variance, rtol=0.12)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: AR1Layer(persistence_dist=dist.Normal), ValueError, "`persistence_"),
        (
            lambda: AR1Layer(persistence_dist=dist.Normal(0.0, 1.0)),
            ValueError,
            "numbers from 0 to 1",
        ),
        (lambda: AR1Layer()("a", TIMES, 5), ValueError, r"`t` must hold .*got \[5\]"),
        (lambda: AR1Layer()("a", TIMES / 2, 5), TypeError, "`t` must hold categories"),
        (lambda: AR1Layer()("a", TIMES, 0), ValueError, "`num_times` must be"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call()
