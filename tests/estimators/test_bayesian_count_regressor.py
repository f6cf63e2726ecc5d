"""Counts to predict: against SciPy's laws, and bad input."""

import numpy as np
import pytest
import scipy.stats

from numpyro_bayeslayers.estimators import BayesianCountRegressor

QUICK = {"hidden": (), "num_members": 2, "num_steps": 300, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
MEAN = np.exp(1.5 + 0.5 * X[:, 0])
Y = RNG.negative_binomial(3.0, 3.0 / (3.0 + MEAN))


def fitted(likelihood, **settings):
    settings = QUICK | {"prior_scale": 1.0, "learning_rate": 0.05} | settings
    return BayesianCountRegressor(likelihood=likelihood, **settings).fit(X, Y)


@pytest.fixture(scope="module")
def counts():
    return fitted("negative_binomial")


def laws(found, x):
    """The members' laws by SciPy, (n, members)."""
    x = (x - X.mean(0)) / X.std(0)
    skip = found.draws_["skip.weight"][:, :, 0], found.draws_["skip.bias"][:, 0]
    mean = np.exp(x @ skip[0].T + skip[1] + found.offset_)
    size = (found.factor_ * found.draws_["excess"]) ** -2.0
    return scipy.stats.nbinom(size, size / (size + mean))


def test_predictions_are_those_of_the_mixture(counts):
    law = laws(counts, X)
    mean, std = counts.predict(X, return_std=True)
    np.testing.assert_allclose(mean, law.mean().mean(1), rtol=1e-3)
    variance = law.var().mean(1) + law.mean().var(1)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-3)
    log_pmf = np.log(law.pmf(Y[:, None]).mean(1))
    np.testing.assert_allclose(counts.score_samples(X, Y), log_pmf, atol=2e-3)


def test_quantiles_are_the_smallest_counts_that_reach_them(counts):
    law = laws(counts, X)
    for level, q in zip((0.1, 0.9), counts.predict_quantiles(X, (0.1, 0.9)).T, strict=True):
        assert (law.cdf(q[:, None]).mean(1) >= level - 1e-4).all()
        assert (law.cdf(q[:, None] - 1).mean(1) < level + 1e-4).all()


def test_the_mean_and_the_excess_are_found(counts):
    """80 rows: the log mean is known to 0.1 or so, 1 / √κ = 0.58 to 0.1."""
    np.testing.assert_allclose(np.log(counts.predict(X)), np.log(MEAN), atol=0.5)
    assert 0.3 < counts.draws_["excess"].mean() < 0.9


@pytest.mark.slow
def test_poisson_is_its_own_variance():
    found = fitted("poisson", num_members=1)
    mean, std = found.predict(X, return_std=True)
    np.testing.assert_allclose(std**2, mean, rtol=1e-4)


@pytest.mark.slow
def test_more_zeros_are_drawn_and_saved(tmp_path):
    found = fitted("zinb")
    draws = found.sample(X[:3], 4000)
    share = np.exp(found.score_samples(X[:3], [0, 0, 0]))
    np.testing.assert_allclose((draws == 0).mean(0), share, atol=0.04)  # five deviations
    found.save(tmp_path / "counts")
    again = BayesianCountRegressor.load(tmp_path / "counts")
    np.testing.assert_array_equal(again.predict(X), found.predict(X))


@pytest.mark.slow
def test_averages_of_counts_are_fitted_as_the_counts_themselves():
    """The score of a Poisson law is linear in the count, and y is only known by its mean.

    Eight rows of ten counts each, or their averages that count ten times: the same mode, to what
    300 steps leave.
    """
    x = np.linspace(-1.0, 1.0, 8)[:, None]
    counts = np.random.default_rng(1).poisson(np.exp(1 + x), (8, 10))
    settings = QUICK | {"likelihood": "poisson", "prior_scale": 1.0, "learning_rate": 0.05}
    model = BayesianCountRegressor(**settings)
    expected = model.fit(np.repeat(x, 10, 0), counts.ravel()).predict(x)
    with pytest.warns(
        UserWarning, match=r"`y` has \d values that are no counts, the first"
    ):
        model.fit(x, counts.mean(1), sample_weight=np.full(8, 10.0))
    np.testing.assert_allclose(model.predict(x), expected, rtol=2e-3)
    with pytest.raises(ValueError, match="`y` must hold counts"):
        model.score_samples(x, counts.mean(1))


def test_what_is_below_zero_is_refused():
    with pytest.raises(ValueError, match=r"`y` must hold counts.* got -"):
        BayesianCountRegressor(**QUICK).fit(X, Y - 5.5)
