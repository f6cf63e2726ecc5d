"""Times as numbers, against the calendar of Python's standard library."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.preprocessing import encode_time_column
from numpyro_bayeslayers.preprocessing._frequency import YEAR
from numpyro_bayeslayers.preprocessing._time import periods_in

pytestmark = pytest.mark.usefixtures("as_users_run")

MONDAY = dt.datetime(1969, 12, 29)

# From a moment to the number of its unit, by hand.
NUMBER = {
    "s": lambda d: int((d - dt.datetime(1970, 1, 1)).total_seconds()),
    "min": lambda d: int((d - dt.datetime(1970, 1, 1)).total_seconds()) // 60,
    "h": lambda d: int((d - dt.datetime(1970, 1, 1)).total_seconds()) // 3600,
    "D": lambda d: d.toordinal(),
    "W": lambda d: (d.toordinal() - MONDAY.toordinal()) // 7,
    "M": lambda d: 12 * d.year + d.month,
    "Q": lambda d: 4 * d.year + (d.month - 1) // 3,
    "Y": lambda d: d.year,
}
MOMENTS = [
    dt.datetime(2005, 1, 3),
    dt.datetime(2005, 1, 3, 23, 59, 59),
    dt.datetime(2005, 1, 9, 12),
    dt.datetime(2005, 1, 10),
    dt.datetime(2008, 2, 29, 7, 30),
    dt.datetime(2014, 12, 31, 23),
]
ALIASES = [
    ("s", "S"), ("min", "MIN", "T"), ("h", "H"), ("D", "d"), ("W", "w", "W-SUN", "w-sun"),
    ("M", "m", "ME", "MS", "me"), ("Q", "q", "QE", "QS", "Q-DEC"),
    ("Y", "y", "A", "a", "YE", "YS", "Y-DEC", "a-dec"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "freq"), [(names[0], freq) for names in ALIASES for freq in names]
)
def test_dates_are_numbers_of_units(unit, freq):
    t, _, scale = encode_time_column(pd.Series(MOMENTS), timetype="datetime", freq=freq)
    numbers = [NUMBER[unit](moment) for moment in MOMENTS]
    assert t.tolist() == [n - numbers[0] for n in numbers]
    assert scale == t[-1]


def test_anchored_weeks_begin_after_their_anchor():
    days = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02"]))  # Monday, Tuesday
    apart, _, _ = encode_time_column(days, timetype="datetime", freq="W-MON")
    together, _, _ = encode_time_column(days, timetype="datetime", freq="W")
    assert apart.tolist() == [0.0, 1.0] and together.tolist() == [0.0, 0.0]


def test_later_rows_are_encoded_from_the_first_time():
    days = pd.Series(pd.to_datetime(["2024-03-01", "2024-03-05", "2024-02-28"]))
    _, time_min, _ = encode_time_column(days[:2], timetype="index", freq="D")
    t, again, _ = encode_time_column(days, timetype="index", freq="D", time_min=time_min)
    assert t.tolist() == [0.0, 4.0, -2.0] and again == time_min


def test_order_of_rows_does_not_matter():
    days = pd.Series(pd.to_datetime(["2024-03-05", "2024-03-01", "2024-03-03"]))
    t, _, scale = encode_time_column(days, timetype="datetime", freq="D")
    assert t.tolist() == [4.0, 0.0, 2.0] and scale == 4.0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_resolution_of_dates_does_not_matter(unit):
    days = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-08"])).astype(
        f"datetime64[{unit}]"
    )
    t, _, _ = encode_time_column(days, timetype="datetime", freq="W")
    assert t.tolist() == [0.0, 1.0]


def test_numbers_are_shifted():
    t, time_min, scale = encode_time_column(pd.Series([5, 3, 4]))
    assert t.tolist() == [2.0, 0.0, 1.0] and (time_min, scale) == (3.0, 2.0)
    t, _, _ = encode_time_column(pd.Series([0.25, 0.5]), timetype="float", time_min=0.0)
    assert t.tolist() == [0.25, 0.5]


def test_one_time_has_scale_one():
    assert encode_time_column(pd.Series([7, 7]))[2] == 1.0
    assert encode_time_column(pd.Series([], dtype=float))[0].shape == (0,)


@pytest.mark.parametrize(
    ("series", "options", "error", "words"),
    [
        ([1, 2], {"timetype": "date"}, ValueError, "`timetype` must be one of"),
        ([1, 2], {"freq": "D"}, ValueError, "`freq` must be None"),
        (MOMENTS, {"timetype": "index"}, ValueError, "`freq` must be given"),
        (MOMENTS, {"timetype": "index", "freq": "fortnight"}, ValueError, "'fortnight'"),
        (MOMENTS, {"timetype": "index", "freq": "0min"}, ValueError, "a unit of time"),
        (MOMENTS, {"timetype": "index", "freq": "1h30min"}, ValueError, "a unit of time"),
        (MOMENTS, {"timetype": "index", "freq": "D-MON"}, ValueError, "a unit of time"),
        (MOMENTS, {"timetype": "index", "freq": "W-JAN"}, ValueError, "a unit of time"),
        (MOMENTS, {"timetype": "index", "freq": "ms"}, ValueError, "a millisecond.*'MS'"),
        (
            MOMENTS,
            {"timetype": "index", "freq": 7},
            TypeError,
            "`freq` must be a frequency",
        ),
        (["2024-01-01"], {"timetype": "index", "freq": "D"}, TypeError, "to_datetime"),
        (MOMENTS, {}, TypeError, "'series' must hold numbers"),
        ([1.0, np.nan], {}, ValueError, "'series' has 1 of 2"),
        (
            pd.Series([pd.NaT, MOMENTS[0]], name="day"),
            {"timetype": "index", "freq": "D"},
            ValueError,
            "'day' has 1 of 2",
        ),
    ],
)
def test_errors(series, options, error, words):
    with pytest.raises(error, match=words):
        encode_time_column(series, **options)


@pytest.mark.parametrize(
    ("period", "freq", "expected"),
    [
        ("Y", "Y", 1.0), ("Y", "Q", 4.0), ("Q", "M", 3.0), ("Y", "M", 12.0),
        ("min", "s", 60.0), ("h", "s", 3600.0), ("D", "s", 86400.0), ("D", "h", 24.0),
        ("W", "h", 168.0), ("W", "D", 7.0), ("Y", "D", YEAR), ("Y", "W", 52.1775),
        ("D", "15min", 96.0), ("h", "90s", 40.0), ("2W", "D", 14.0), ("y", "w", 52.1775),
        ("M", "D", YEAR / 12), ("YE", "MS", 12.0), (4, "W", 4.0),
        (52.1775, "W", 52.1775), (7.5, None, 7.5),
    ],
)  # fmt: skip
def test_periods_in_units(period, freq, expected):
    assert periods_in(freq, [period]) == (pytest.approx(expected, rel=1e-12),)


@pytest.mark.parametrize(
    ("period", "freq", "error", "words"),
    [
        ("D", "W", ValueError, r"`seasonality_periods\[0\]` must be at least one unit"),
        (0.5, "W", ValueError, "at least one unit"),
        (-1.0, "W", ValueError, "positive"),
        ("Y", None, ValueError, "must be a number if `freq` is None"),
        (None, "W", TypeError, "must be a number"),
    ],
)
def test_errors_of_periods(period, freq, error, words):
    with pytest.raises(error, match=words):
        periods_in(freq, [period])
