"""Censored and truncated observations, trials, angles: closed forms and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
import scipy.stats
from numpyro.handlers import seed, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers.infer import MCMC, VI, fit
from numpyro_bayeslayers.layers import (
    InterceptLayer,
    beta_link,
    binomial_link,
    censored,
    exponential_link,
    gaussian_link,
    heteroscedastic_link,
    negative_binomial_link,
    poisson_link,
    truncated,
    von_mises_link,
    weibull_link,
)

RNG = np.random.default_rng(0)


def test_survival_has_the_maximum_of_the_textbook():
    """Exponential times, some cut off: the best mean is all time over the number of ends."""
    time, limit = RNG.exponential(2.0, 50), RNG.uniform(0.5, 4.0, 50)
    seen = np.minimum(time, limit)
    upper = np.where(time <= limit, np.inf, limit)
    best = np.log(seen.sum() / (time <= limit).sum())

    def total(mean):
        link = censored(exponential_link, upper=jnp.asarray(upper))
        model = lambda: link(jnp.full((50, 1), mean), jnp.asarray(seen))
        return log_density(model, (), {}, {})[0]

    assert abs(jax.grad(total)(best)) < 1e-3 < abs(jax.grad(total)(best + 0.1))


@pytest.mark.slow
def test_tobit_recovers_what_was_cut_off():
    """N(0.5, 1) recorded from 0 upwards, 2,000 rows: 5 standard deviations of each (1e-6)."""
    y = np.maximum(RNG.normal(0.5, 1.0, 2000), 0.0)

    def model(y=None, n=2000):
        mean = jnp.broadcast_to(InterceptLayer()("mean", 1), (n, 1))
        return censored(gaussian_link, lower=0.0)(mean, y)

    found = fit(model, y=y, constants={"n": 2000}, num_steps=1500, progress_bar=False)
    draws = {name: np.asarray(x).mean() for name, x in found.draws().items()}
    assert abs(y.mean() - 0.5) > 0.15  # what a Gaussian would say
    location = next(x for name, x in draws.items() if name.startswith("mean"))
    assert abs(location - 0.5) < 0.13
    assert abs(draws["obs.sigma"] - 1) < 0.13


def test_each_row_has_its_bound_under_every_plate():
    """Rows in a subsampling plate, several outputs, weights: bounds go with their rows."""
    y, upper = (
        jnp.arange(1.0, 11.0),
        jnp.where(jnp.arange(10) % 2, jnp.arange(1.0, 11.0), jnp.inf),
    )
    link = censored(weibull_link, upper=upper)
    law = scipy.stats.weibull_min(2.0, scale=1 / scipy.special.gamma(1.5))
    by_row = np.where(np.arange(10) % 2, law.logsf(y), law.logpdf(y))

    def sampled():
        link(
            jnp.zeros(10),
            y,
            concentration=2.0,
            weights=jnp.arange(10.0),
            plate=numpyro.plate("rows", 10, subsample_size=4),
        )

    total, sites = log_density(seed(sampled, 1), (), {}, {})
    rows = np.asarray(sites["rows"]["value"])
    np.testing.assert_allclose(total, 2.5 * (rows * by_row[rows]).sum(), rtol=1e-4)

    def outputs():
        both = censored(weibull_link, upper=upper)
        both(jnp.zeros((10, 2)), jnp.stack([y, y], 1), concentration=2.0)

    np.testing.assert_allclose(
        log_density(outputs, (), {}, {})[0], 2 * by_row.sum(), rtol=1e-4
    )


def test_draws_of_censored_links_go_on_and_of_truncated_ones_do_not():
    free = seed(censored(gaussian_link, upper=0.0), 0)(jnp.zeros(500), scale=1.0)
    assert 0.3 < np.mean(np.asarray(free) > 0) < 0.7  # 200 rows of 500: chance 1e-8
    kept = seed(truncated(gaussian_link, high=0.0), 0)(jnp.zeros(500), scale=1.0)
    assert np.asarray(kept).max() <= 0
    per_row = truncated(gaussian_link, low=jnp.arange(5.0)[:, None])
    assert (np.asarray(seed(per_row, 0)(jnp.zeros(5), scale=1.0)) >= np.arange(5)).all()


def test_signature_and_name_are_those_of_the_link():
    link = censored(heteroscedastic_link, lower=0.0)
    assert link.__name__ == "heteroscedastic_link"
    sites = trace(link).get_trace(jnp.zeros(3), jnp.zeros(3), jnp.ones(3), "price")
    assert list(sites) == ["price"]
    # The bounds end where the link does.
    plain = trace(gaussian_link).get_trace(jnp.zeros(3), jnp.ones(3), scale=1.0)["obs"]
    assert plain["fn"].log_prob(plain["value"]).shape == (3,)


@pytest.mark.parametrize(
    ("link", "match"),
    [
        (
            censored(gaussian_link, upper=1.0),
            r"`y` must .*up to 1, got in row 2: 2 .*clip them",
        ),
        (
            truncated(gaussian_link, low=0.3),
            r"`y` must .*at least 0\.3, got in row 0: 0\.2",
        ),
    ],
    ids=["censored", "truncated"],
)
@pytest.mark.parametrize("method", [VI(), MCMC(num_warmup=2, num_samples=2, num_chains=1)])
def test_a_fit_looks_at_bounds_before_it_compiles(link, match, method):
    def model(x, y=None):
        return link(x + InterceptLayer()("mean"), y, scale=1.0)

    y = np.array([0.2, 0.5, 2.0, 1.0])
    steps = {} if isinstance(method, MCMC) else {"num_steps": 2}
    with pytest.raises(ValueError, match=match):
        fit(model, y=y, x=np.zeros((4, 1)), method=method, **steps, progress_bar=False)


@pytest.mark.parametrize(
    ("link", "match"),
    [
        (
            lambda x, y: censored(gaussian_link, lower=x, upper=0 * x)(x, y),
            "numbers from 1 to 0",
        ),
        (lambda x, y: censored(gaussian_link, upper=x / 0 * 0)(x, y), "numbers up to nan"),
        (lambda x, y: binomial_link(x, y, trials=x / 2), r"`trials`.*got 0\.5 in row 0"),
        (lambda x, y: von_mises_link(x, 90 * x), r"`y`.*radians.*got 90 in row 0"),
    ],
    ids=["bounds", "no bounds", "trials", "angles"],
)
def test_a_fit_looks_at_data_that_is_handed_through(link, match):
    def model(x, y=None):
        InterceptLayer()("mean")
        return link(x, y)

    with pytest.raises(ValueError, match=match):
        fit(model, y=np.zeros(3), x=np.ones(3), num_steps=2, progress_bar=False)


Y = jnp.array([0.5, 1.0, 2.0])


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: censored(gaussian_link), ValueError, "Give `lower` or `upper`"),
        (lambda: censored("gaussian", upper=1.0), TypeError, "`link` must be a link"),
        (
            lambda: censored(gaussian_link, lower=np.zeros(3), upper=np.array([1, 0, 1])),
            ValueError,
            "`lower` must be below `upper`, but it is not in row 1",
        ),
        (lambda: truncated(gaussian_link, low=np.nan), ValueError, "`low` must be numbers"),
        (
            lambda: censored(gaussian_link, upper=1.5)(jnp.zeros(3), Y, scale=1.0),
            ValueError,
            r"`y` must .*up to 1\.5, got in row 2: 2 .*clip them",
        ),
        (
            lambda: truncated(poisson_link, low=1)(jnp.zeros(3), jnp.arange(3)),
            ValueError,
            "whole numbers of at least 1, got in row 0: 0 .*drop them",
        ),
        (
            lambda: truncated(gaussian_link, low=np.zeros(4))(jnp.zeros(3), Y, scale=1.0),
            ValueError,
            "`low` of shape .* line up",
        ),
        (
            lambda: censored(truncated(gaussian_link, low=0.0), upper=3.0)(jnp.zeros(3), Y),
            ValueError,
            "one pair of bounds",
        ),
        (
            lambda: censored(negative_binomial_link, upper=5)(jnp.zeros(3), jnp.arange(3)),
            ValueError,
            "NegativeBinomial cannot be censored",
        ),
        (
            lambda: truncated(beta_link, low=0.1)(jnp.zeros(3), Y / 3),
            ValueError,
            "Beta cannot be truncated",
        ),
        (
            lambda: binomial_link(jnp.zeros(3), jnp.arange(3), trials=1),
            ValueError,
            "at most its number of trials",
        ),
        (
            lambda: binomial_link(jnp.zeros(3), trials=np.array([1.0, 2.5, 1])),
            ValueError,
            "`trials` must be whole numbers of at least 0, got 2.5 in row 1",
        ),
        (lambda: binomial_link(jnp.zeros(3), trials="3"), TypeError, "`trials` must be"),
        (lambda: binomial_link(jnp.zeros(3)), TypeError, "trials"),
        (
            lambda: von_mises_link(jnp.zeros(3), np.array([1.0, 90.0, 2.0])),
            ValueError,
            "radians.* got 90 in row 1 .*deg2rad",
        ),
        (
            lambda: exponential_link(jnp.zeros(3), -Y),
            ValueError,
            "numbers of at least 0",
        ),
        (lambda: weibull_link(jnp.zeros(3), 0 * Y), ValueError, "numbers above 0"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call()
