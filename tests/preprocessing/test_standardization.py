"""Means and deviations against Python's statistics."""

import statistics

import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.preprocessing import fit_standardization

pytestmark = pytest.mark.usefixtures("as_users_run")


def test_moments_are_those_of_the_population():
    values = np.random.default_rng(0).normal(3.0, 2.0, (50, 2))
    df = pd.DataFrame(values, columns=["a", "b"])
    mu, std = fit_standardization(df, ["b", "a"])
    for found, column in ((0, values[:, 1]), (1, values[:, 0])):
        assert mu[found] == pytest.approx(statistics.fmean(column))
        assert std[found] == pytest.approx(statistics.pstdev(column))
    assert mu.dtype == std.dtype == np.float64


@pytest.mark.parametrize("value", [0.0, 47.123, 1e9])
def test_constant_column_is_only_centered(value):
    """Also where rounding of the mean leaves a deviation that is not quite zero."""
    mu, std = fit_standardization(pd.DataFrame({"a": [value] * 7}), ["a"])
    assert mu[0] == pytest.approx(value) and std[0] == 1.0


def test_small_but_real_deviation_is_kept():
    _, std = fit_standardization(pd.DataFrame({"a": [0.0, 2e-9]}), ["a"])
    assert std[0] == pytest.approx(1e-9)
    _, std = fit_standardization(pd.DataFrame({"a": [0.0, 2e-9]}), ["a"], eps=1e-8)
    assert std[0] == 1.0


def test_no_columns():
    mu, std = fit_standardization(pd.DataFrame({"a": [1.0]}), [])
    assert mu.shape == std.shape == (0,)


def test_nullable_and_integer_columns():
    df = pd.DataFrame({"a": pd.array([1, 3], dtype="Int64"), "b": [True, False]})
    mu, std = fit_standardization(df, ["a", "b"])
    assert mu.tolist() == [2.0, 0.5] and std.tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("df", "columns", "error", "words"),
    [
        ({"a": [1.0]}, ["a"], TypeError, "`df` must be a pandas.DataFrame"),
        (pd.DataFrame({"a": [1.0]}), "a", TypeError, "sequence of column names, got 'a'"),
        (pd.DataFrame({"a": [1.0]}), ["a", "a"], ValueError, r"once, got \['a'\] twice"),
        (pd.DataFrame({"lat": [1.0]}), ["lad"], ValueError, "Did you mean 'lat'"),
        (pd.DataFrame({"a": ["x"]}), ["a"], TypeError, "'a' must hold numbers, got"),
        (pd.DataFrame({"a": [1.0, np.nan]}), ["a"], ValueError, "'a' has 1 of 2.*index 1"),
        (pd.DataFrame({"a": [np.inf, 1.0]}), ["a"], ValueError, "'a' has 1 of 2.*index 0"),
        (pd.DataFrame({"a": []}), ["a"], ValueError, "at least one row"),
        (
            pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]),
            ["a"],
            ValueError,
            "'a' exactly once, got it 2 times",
        ),
    ],
)
def test_errors(df, columns, error, words):
    with pytest.raises(error, match=words):
        fit_standardization(df, columns)


def test_negative_eps():
    with pytest.raises(ValueError, match="`eps` must be zero or positive"):
        fit_standardization(pd.DataFrame({"a": [1.0]}), ["a"], eps=-1.0)
