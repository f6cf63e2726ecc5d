"""Predictions do without what no draw depends on, and ask for what one does."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.autoguide import AutoDAIS

from numpyro_bayeslayers.infer import MCMC, VI, fit
from numpyro_bayeslayers.infer.fitting._data import data_of_fit
from numpyro_bayeslayers.infer.fitting._method import Problem
from numpyro_bayeslayers.infer.fitting._unread import unread
from numpyro_bayeslayers.layers import gaussian_link, poisson_link

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.linspace(-1.0, 1.0, 6)
Y, SEEN, WEIGHTS = 2 * X, X < 0.5, 1.0 + X**2
NEW = np.linspace(-3.0, 3.0, 8)  # more than there were
METHODS = {
    "vi": {"num_steps": 2},
    "mcmc": {"method": MCMC(num_warmup=5, num_samples=5, num_chains=1)},
}


def line(x):
    return numpyro.sample("slope", dist.Normal(0.0, 1.0)) * x


def weighed(x, weights, seen=None, y=None):
    share = weights / weights.mean()
    gaussian_link(line(x), y, weights=share, mask=seen)


def by_handlers(x, weights, seen=None, y=None):
    mu = line(x)
    with numpyro.handlers.scale(scale=weights), numpyro.handlers.mask(mask=seen):
        numpyro.sample("obs", dist.Normal(mu, 1.0), obs=y)


def problem_of(model, y=Y, **data):
    return Problem(model, data_of_fit(y, data), None, None, None, None, False)


@pytest.mark.parametrize("method", METHODS)
def test_weights_and_masks_may_be_left_out(method):
    """The draws are those that there are with any values of them."""
    data = {"x": X, "weights": WEIGHTS, "seen": SEEN}
    found = fit(weighed, y=Y, progress_bar=False, **data, **METHODS[method])
    predict = lambda **rows: found.predict(x=NEW, num_samples=4, **rows).samples
    expected = predict(weights=np.arange(8.0), seen=np.arange(8) < 3)
    np.testing.assert_array_equal(predict(), expected)
    np.testing.assert_array_equal(predict(weights=np.ones(8)), expected)
    with pytest.raises(ValueError, match="`x` must be given"):
        found.predict(seen=SEEN)


def of_rates(x, log_time=None, weights=None, y=None):
    poisson_link(line(x), y, offset=log_time, weights=weights)


def of_weights(weights, y=None):
    gaussian_link(line(np.ones(len(weights))), y, weights=weights)


def in_computed(x, log_time=None, weights=None, y=None):
    numpyro.deterministic("share", weights * log_time)
    gaussian_link(line(x), y)


def test_what_a_site_depends_on_must_be_given():
    """An exposure that is left out would be an exposure of one."""
    data = {"x": X, "log_time": X, "weights": WEIGHTS}
    found = fit(of_rates, y=np.arange(6), num_steps=2, progress_bar=False, **data)
    with pytest.raises(
        ValueError, match="`log_time` must be given: the first data had the"
    ):
        found.predict(x=X, weights=WEIGHTS)
    with pytest.raises(ValueError, match="`weights` must be given"):
        fit(of_weights, y=Y, weights=WEIGHTS, num_steps=2, progress_bar=False).predict()


def test_what_no_site_depends_on():
    names = ("x", "log_time", "weights")
    data = {"x": X, "log_time": X, "weights": WEIGHTS}
    free = lambda model: unread(problem_of(model, **data), None, names)
    assert free(of_rates) == {"weights"} and free(in_computed) == set()
    data = {"x": X, "weights": WEIGHTS, "seen": SEEN}
    assert unread(problem_of(by_handlers, **data), None, data) == {"weights", "seen"}


def test_a_guide_may_read_what_the_model_does_not():
    """Of one's own, it is looked at; one that follows the density reads all."""

    def guide(x, weights, seen=None, y=None):
        numpyro.sample("slope", dist.Normal(weights.mean(), 1.0))

    problem = problem_of(weighed, x=X, weights=WEIGHTS, seen=SEEN)
    names = ("x", "weights", "seen")
    assert unread(problem, guide, names) == {"seen"}
    assert unread(problem, functools.partial(AutoDAIS, K=2), names) == set()
    assert unread(problem, VI().guide, names) == {"weights", "seen"}
