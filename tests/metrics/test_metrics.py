"""Scores against explicit loops and scikit-learn, and that they are proper."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.metrics

from numpyro_bayeslayers.metrics import (
    interval_coverage,
    interval_score,
    mean_absolute_error,
    root_mean_squared_error,
)

RNG = np.random.default_rng(0)
Y, A, B = RNG.normal(size=(3, 40)).astype(np.float32)
LOWER, UPPER = np.minimum(A, B), np.maximum(A, B)


def test_point_errors_are_those_of_scikit_learn():
    expected = sklearn.metrics.root_mean_squared_error(Y, A)
    assert root_mean_squared_error(Y, A) == pytest.approx(expected, rel=1e-6)
    expected = sklearn.metrics.mean_absolute_error(Y, A)
    assert mean_absolute_error(Y, A) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_interval_score_row_by_row(alpha):
    total = 0.0
    for y, lower, upper in zip(Y.tolist(), LOWER.tolist(), UPPER.tolist(), strict=True):
        total += upper - lower
        if y < lower:
            total += 2 / alpha * (lower - y)
        if y > upper:
            total += 2 / alpha * (y - upper)
    found = interval_score(Y, LOWER, UPPER, alpha=alpha)
    assert found == pytest.approx(total / len(Y), rel=1e-5)


def test_interval_score_is_smallest_at_the_quantiles():
    """Of a normal, by its exact expectation: 2001 equally likely values."""
    y = scipy.stats.norm.ppf((np.arange(2001) + 0.5) / 2001)
    score = lambda z: interval_score(y, np.full(2001, -z), np.full(2001, z), alpha=0.2)
    best = scipy.stats.norm.ppf(0.9)
    assert score(best) < min(score(best - 0.1), score(best + 0.1))


def test_coverage_counts_the_bounds():
    y = np.array([0.0, 1.0, 0.5, 1.5])
    assert interval_coverage(y, np.zeros(4), np.ones(4)) == 0.75


def test_they_are_pure():
    score = jax.jit(jax.vmap(interval_score))
    assert score(*(jnp.stack([x, x]) for x in (Y, LOWER, UPPER))).shape == (2,)
    gradient = jax.grad(lambda m: root_mean_squared_error(Y, jnp.full(40, m)))(Y.mean())
    assert gradient == pytest.approx(0.0, abs=1e-6)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(ValueError, match=r"same shape, but `y` has \(40,\), `prediction`"):
        root_mean_squared_error(Y, Y[:, None])
    with pytest.raises(ValueError, match="`upper` has"):
        interval_coverage(Y, Y, Y[:3])
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="`alpha` must be above 0"):
            interval_score(Y, LOWER, UPPER, alpha=alpha)


SCORES = {
    "rmse": lambda y: root_mean_squared_error(y, np.ones(2)),
    "mae": lambda y: mean_absolute_error(y, np.ones(2)),
    "interval": lambda y: interval_score(y, np.zeros(2), np.ones(2)),
    "coverage": lambda y: interval_coverage(y, np.zeros(2), np.ones(2)),
}


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (np.array(["2024-01-01"] * 2, "M8[D]"), TypeError, "`y` must hold real numbers"),
        (np.array([1, 2], "m8[s]"), TypeError, "`y` must hold real numbers"),
        (["a", "b"], TypeError, "`y` must hold real numbers"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), ValueError, "`y` has 1 masked entries"),
    ],
    ids=["dates", "durations", "words", "masked"],
)
def test_what_has_no_score(score, y, error, message):
    with pytest.raises(error, match=message):
        SCORES[score](y)


def test_no_rows_have_no_score():
    with pytest.raises(ValueError, match="`y` must have at least one entry"):
        root_mean_squared_error(np.zeros(0), np.zeros(0))


@pytest.mark.usefixtures("as_users_run")
def test_columns_of_tables_have_one_order_of_rows():
    y = pd.Series([1.0, 2.0], index=[3, 7])
    assert root_mean_squared_error(y, y + 1.0) == 1.0
    with pytest.raises(ValueError, match="`y` and `prediction` must have the same row lab"):
        root_mean_squared_error(y, y.iloc[::-1])
    assert root_mean_squared_error(y.astype(">f8").to_numpy(), y) == 0.0
