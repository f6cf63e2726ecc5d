"""Comparisons of forecasts against SciPy and simulations."""

import jax
import numpy as np
import pytest
import scipy.stats

from numpyro_bayeslayers.metrics import diebold_mariano, paired_bootstrap

RNG = np.random.default_rng(17)
A, B = RNG.normal(size=(2, 25)) + 2


def test_one_step_is_the_paired_t_test():
    expected = scipy.stats.ttest_rel(A, B)
    found = diebold_mariano(A, B)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-4)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-4)
    assert found.standard_error == pytest.approx(scipy.stats.sem(A - B), rel=1e-4)


def test_more_steps_take_autocovariances():
    """By the formula of Harvey, Leybourne and Newbold, written out."""
    d, n, h = A - B, 25, 3
    gamma = [np.sum((d - d.mean())[k:] * (d - d.mean())[: n - k]) / n for k in range(h)]
    plain = d.mean() / np.sqrt((gamma[0] + 2 * sum(gamma[1:])) / n)
    expected = plain * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    found = diebold_mariano(A, B, horizon=h)
    assert found.statistic == pytest.approx(expected, rel=1e-4)
    assert found.p_value == pytest.approx(
        2 * scipy.stats.t.sf(abs(expected), n - 1), rel=1e-3
    )


def test_equal_forecasts_are_told_apart_by_chance_only():
    """2,000 series of 20 rows, whose errors two steps ahead overlap: 5% at the level of 5%.

    The part rejected has a standard error of 0.5%; between 2% and 8% is 6 of them.
    """
    rng = np.random.default_rng(18)
    noise = rng.normal(size=(1000, 101))
    series = (noise[:, 1:] + noise[:, :-1]).astype(np.float32)
    test = jax.jit(jax.vmap(lambda d: diebold_mariano(d, 0 * d, horizon=2).p_value))
    share = np.mean(np.asarray(test(series)) < 0.05)
    assert 0.02 < share < 0.09


def test_bootstrap_interval_is_near_the_normal_one():
    """400 rows; 5,000 resamples tell a bound to 3% of a standard error: five times that."""
    rng = np.random.default_rng(19)
    a, b = rng.normal(size=(2, 400))
    found = paired_bootstrap(a, b, num_draws=5000, coverage=0.9)
    error = (a - b).std() / np.sqrt(400)
    assert found.difference == pytest.approx((a - b).mean(), abs=1e-6)
    for bound, z in ((found.lower, -1.645), (found.upper, 1.645)):
        assert bound == pytest.approx((a - b).mean() + z * error, abs=0.15 * error)
    expected = scipy.stats.norm.cdf(-(a - b).mean() / error)
    assert found.share_better == pytest.approx(expected, abs=0.04)


def test_blocks_keep_dependence():
    """A series in which each value stands ten times has an error sqrt(10) times as large.

    Blocks of 50 keep all but a fifth of it; drawn one by one, rows keep none.
    """
    d = np.repeat(np.random.default_rng(20).normal(size=60), 10)
    width = lambda k: np.diff(paired_bootstrap(d, 0 * d, block_length=k)[1:3])[0]
    assert 2.2 < width(50) / width(1) < 3.8


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(
        ValueError, match=r"`scores` and `scores_other` must differ by more"
    ):
        diebold_mariano(A, A + 1 - 1)
    with pytest.raises(ValueError, match=r"`horizon` must be below the number of rows"):
        diebold_mariano(A, B, horizon=25)
    with pytest.raises(ValueError, match=r"`scores_other` has"):
        diebold_mariano(A, B[:3])
    with pytest.raises(
        ValueError, match=r"`scores` must have one axis with at least two rows"
    ):
        paired_bootstrap(np.array(1.0), np.array(2.0))
    with pytest.raises(
        ValueError, match=r"`scores` has 1 entries that are NaN or infinite"
    ):
        paired_bootstrap(np.array([1.0, np.inf]), np.ones(2))
    with pytest.raises(ValueError, match=r"`block_length` must be at most"):
        paired_bootstrap(A, B, block_length=26)
    with pytest.raises(ValueError, match=r"`coverage` must be above 0"):
        paired_bootstrap(A, B, coverage=1.0)
