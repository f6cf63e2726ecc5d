"""What tables may hold: the same numbers from every library, and errors that name the column."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from numpyro_bayeslayers.estimators import BayesianNeuralFieldMAP
from numpyro_bayeslayers.preprocessing import fit_spatiotemporal, fit_standardization

from .tables import SETTINGS, fit, table

pytestmark = pytest.mark.usefixtures("as_users_run")

COLUMNS = {n: SETTINGS[n] for n in ("freq", "feature_cols", "target_col", "standardize")}


def encode(df, **settings):
    return fit_spatiotemporal(df, **COLUMNS | {"timetype": "datetime"} | settings)


def as_polars(df):
    """Column by column: whole tables need another package."""
    return pl.DataFrame({name: pl.Series(df[name].tolist()) for name in df.columns})


@pytest.mark.parametrize("zone", [None, "Europe/London"])
def test_a_table_of_another_library_is_the_same(zone):
    """Dates in a zone that changes its clocks, gaps, counts and fractions."""
    df = table().assign(n=range(24)).astype({"n": "uint8"})
    df.loc[3, "y"] = np.nan
    days = pd.Series(pd.date_range("2024-03-20", periods=12, tz=zone).tolist() * 2)
    df["day"] = days
    clock = pl.Series("day", days.dt.tz_localize(None).tolist())
    clock = clock.dt.replace_time_zone(zone) if zone else clock
    other = as_polars(df.assign(day=0)).with_columns(clock)
    there, here = encode(df), encode(other)
    assert there == here and here.time_zone == zone
    np.testing.assert_array_equal(there.features(df), here.features(other))
    np.testing.assert_array_equal(there.target(df), here.target(other))
    for one, two in zip(
        *(fit_standardization(d, ["x", "n"]) for d in (df, other)), strict=True
    ):
        np.testing.assert_array_equal(one, two)


BAD = {
    "numbers as words": (
        "x",
        ["1.5"] * 24,
        TypeError,
        "'x' must hold numbers, got str|object",
    ),
    "complex": (
        "x",
        np.ones(24) * 1j,
        TypeError,
        "'x' must hold real numbers, got complex",
    ),
    "complex target": ("y", np.ones(24) * 1j, TypeError, "'y' must hold real numbers"),
    "switch as target": (
        "y",
        [True, False] * 12,
        TypeError,
        "'y' must hold numbers, got bool",
    ),
    "categories": (
        "x",
        pd.Categorical([1, 2] * 12),
        TypeError,
        "'x' must hold numbers, got cat",
    ),
    "durations": (
        "x",
        pd.to_timedelta(range(24)),
        TypeError,
        "'x' must hold numbers, got time",
    ),
    "objects": ("x", [(1,)] * 24, TypeError, "'x' must hold numbers, got object"),
    "nothing": (
        "x",
        [np.nan] * 24,
        ValueError,
        "'x' has 24 of 24 entries that are missing",
    ),
    "no target": ("y", [np.nan] * 24, ValueError, "'y' must have at least one entry"),
    "nullable": ("x", pd.array([1, None] * 12, "Int64"), ValueError, "'x' has 12 of 24"),
    "infinite": ("x", [np.inf] * 24, ValueError, "'x' has 24 of 24"),
    "infinite target": ("y", [1.0] * 23 + [np.inf], ValueError, "'y' has 1 of 24"),
    "no date": (
        "day",
        pd.to_datetime(["2024-01-01", None] * 12),
        ValueError,
        "'day' has 12 of 24",
    ),
    "dates as words": ("day", ["2024-01-01"] * 24, TypeError, "'day' must hold dates"),
    "dates as numbers": ("day", range(24), TypeError, "'day' must hold dates, got int"),
    "too large": ("x", [1e300] * 12 + [0.0] * 12, ValueError, "`x` holds"),
}


@pytest.mark.parametrize(("name", "values", "error", "words"), BAD.values(), ids=BAD)
def test_columns_that_are_refused(name, values, error, words):
    """In the training table, and in later ones where the column is an input."""
    bad, settings = table().assign(**{name: values}), {"standardize": []}
    with pytest.raises(error, match=words):
        encode(bad, **settings)
    found = encode(table(), **settings)
    with pytest.raises(error, match=words) if name != "y" else warnings.catch_warnings():
        found.features(bad)


def test_tables_that_are_refused():
    twice = pd.concat([table(), table()[["x"]]], axis=1)
    with pytest.raises(
        ValueError, match="must have the column 'x' exactly once, got it 2 times"
    ):
        encode(twice)
    with pytest.raises(ValueError, match="'y' must have at least one entry"):
        encode(table()[:0])
    lazy = as_polars(table()).lazy()
    for other in (
        table().to_numpy(),
        {"day": [1]},
        table()["y"],
        pl.Series([1.0]),
        lazy,
        1,
    ):
        with pytest.raises(TypeError, match=r"`df` must be a pandas.DataFrame, or"):
            encode(other)


def test_what_single_precision_loses_is_said():
    """Meters in a national grid, whose differences of a millimeter vanish; centered they do not."""
    meters = 5e6 + 1e-3 * np.arange(24)
    with pytest.warns(UserWarning, match="`x` ranges from 5000000 to 5000000.023"):
        encode(table().assign(x=meters), standardize=[])
    encode(table().assign(x=meters))


def test_a_switch_among_features_is_a_number():
    """Also a nullable one; no and yes are 0 and 1."""
    plain = table().assign(x=np.repeat([0, 1], 12))
    for kind in (bool, "boolean"):
        switch = plain.astype({"x": kind})
        assert encode(switch) == encode(plain)
        np.testing.assert_array_equal(
            encode(plain).features(switch)[:, 1], [-1] * 12 + [1] * 12
        )


def test_members_are_numbered_over_all_splits():
    """One warning, whatever the splits: a step of 1e30 leaves none finite."""
    with pytest.warns(UserWarning, match="non-finite") as said:
        fit(BayesianNeuralFieldMAP, learning_rate=1e30, num_splits=2, num_epochs=5)
    (words,) = [str(w.message) for w in said if "non-finite" in str(w.message)]
    assert (
        words.startswith("Of 2 members")
        and "member 0 from" in words
        and "member 1 from" in words
    )
