"""Each link recovers the line and the parameters that its data were drawn from.

A line's two coefficients and the link's own parameters are drawn from their priors, so 80%
intervals of the exact posterior hold them as often as they say, in the mean over data sets. All
data sets of a link are fitted in one program, by NUTS and by a normal guide of full rank.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers import layers
from tests.layers.recovery import by_nuts, by_vi, coverage, prior_draws

ROWS, SETS = 80, 50
X = jnp.asarray(np.random.default_rng(0).normal(size=ROWS))
# Of shapes and precisions: their defaults reach what single precision rounds to zero or one.
SHAPE = dist.LogNormal(1.0, 0.5)
LIMIT = jnp.asarray(np.random.default_rng(1).uniform(0.0, 2.0, ROWS))

LINKS = {
    "zip_link": (layers.zip_link, {}),
    "zinb_link": (layers.zinb_link, {"concentration": SHAPE}),
    "hurdle_poisson_link": (layers.hurdle_poisson_link, {}),
    "hurdle_negative_binomial_link": (
        layers.hurdle_negative_binomial_link,
        {"concentration": SHAPE},
    ),
    "zero_one_beta_link": (layers.zero_one_beta_link, {"precision": SHAPE}),
    "ordered_beta_link": (
        layers.ordered_beta_link,
        {
            "precision": SHAPE,
            "first_cut": dist.Normal(-1.0, 0.5),
            "gap": dist.LogNormal(1.0, 0.3),
        },
    ),
    "ordinal_link": (layers.ordinal_link, {"num_classes": 4}),
    "categorical_link": (layers.categorical_link, {}),
    "censored": (layers.censored(layers.gaussian_link, upper=LIMIT), {}),
    "censored weibull": (
        layers.censored(layers.weibull_link, upper=jnp.exp(LIMIT)),
        {"concentration": SHAPE},
    ),
    "truncated": (layers.truncated(layers.gaussian_link, low=-1.0), {"scale": SHAPE}),
    "gamma_link": (layers.gamma_link, {"concentration": SHAPE}),
    "inverse_gaussian_link": (layers.inverse_gaussian_link, {"shape": SHAPE}),
    "exponential_link": (layers.exponential_link, {}),
    "weibull_link": (layers.weibull_link, {"concentration": SHAPE}),
    "binomial_link": (layers.binomial_link, {"trials": 5}),
    "beta_binomial_link": (layers.beta_binomial_link, {"trials": 5, "precision": SHAPE}),
    "von_mises_link": (layers.von_mises_link, {"concentration": SHAPE}),
    "multivariate_normal_link": (layers.multivariate_normal_link, {"scale": SHAPE}),
}
COLUMNS = {"categorical_link": 2, "multivariate_normal_link": 2}


def model_of(name):
    link, options = LINKS[name]
    columns = COLUMNS.get(name, 1)

    def model(y=None):
        line = numpyro.sample("line", dist.Normal(jnp.zeros((2, columns)), 1.0).to_event(2))
        eta = line[0] + line[1] * X[:, None]
        if name == "categorical_link":
            eta = jnp.concatenate([jnp.zeros((ROWS, 1)), eta], 1)
        return link(eta, y, name="y", **options)

    return model


def decaying(steps):
    """Of a constant rate the noise is as wide as a posterior of 80 precise rows."""
    return lambda step: 0.03 * jnp.exp(-4.0 * step / steps)


def of(sites):
    """The line, and what the link draws: correlations for the factor of a covariance."""
    own = {n: v for n, v in sites.items() if n == "line" or n.startswith("y.")}
    if "y.correlation" in own:
        own = {n: v for n, v in own.items() if n != "y.cholesky"}
        own["y.correlation"] = own["y.correlation"].reshape(-1)[1]
    return jnp.concatenate([jnp.ravel(own[n]) for n in sorted(own)])


def data_of(name):
    """Truths and observations; those of a censored link are recorded up to their bounds."""
    truth, y = prior_draws(model_of(name), SETS, of)
    bound = {"censored": LIMIT, "censored weibull": jnp.exp(LIMIT)}.get(name, jnp.inf)
    return truth, jnp.minimum(y, bound) if name in ("censored", "censored weibull") else y


def check(name, way, draws, truth):
    """The share over all entries and data sets, and the slopes' error in prior deviations.

    Cut points take an intercept's place, which the data then do not tell from them.

    An entry's share has a standard deviation of 0.4 / sqrt(50) = 0.057, the mean's over a link's
    entries is at most that: the bounds are 2.6 of it, one false alarm in 100 links whose entries
    are dependent altogether.
    """
    share, _ = coverage(draws, truth)
    columns = COLUMNS.get(name, 1)
    slopes = slice(columns, 2 * columns)
    error = coverage(draws[..., slopes], truth[:, slopes])[1]
    print(f"{name}: {way} covers {share:.2f}, error {error:.2f}")
    assert 0.65 < share < 0.95
    assert error < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", LINKS)
def test_nuts_covers(name):
    truth, ys = data_of(name)
    draws = by_nuts(model_of(name), ys, starts=1, steps=250, doublings=5, of=of)
    check(name, "NUTS", draws, truth)


@pytest.mark.slow
@pytest.mark.parametrize("name", LINKS)
def test_variational_inference_covers(name):
    truth, ys = data_of(name)
    # A start near a singular covariance is far away: after 2,000 steps losses still fall.
    steps = 8000 if name == "multivariate_normal_link" else 2000
    # Losses of skewed outcomes are huge far out: Adam would remember their gradients for long.
    draws = by_vi(
        model_of(name), ys, starts=1, steps=steps, rate=decaying(steps), radius=0.1, of=of
    )
    check(name, "VI", draws, truth)
