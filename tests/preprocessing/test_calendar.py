"""Units of time as pandas reads them, on the column's own clock."""

import datetime

import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.preprocessing import encode_time_column, fit_spatiotemporal
from numpyro_bayeslayers.preprocessing._calendar import zone_of

pytestmark = pytest.mark.usefixtures("as_users_run")

FREQUENCIES = [
    "s", "90s", "min", "15min", "h", "7h", "36h", "D", "2D", "W", "W-MON", "3W-TUE", "MS", "ME",
    "2ME", "QS", "QS-FEB", "QE-NOV", "2QS-OCT", "YS", "YS-APR", "YE-MAR", "3YE-JUN",
]  # fmt: skip


def numbers(series, freq):
    return encode_time_column(pd.Series(series), timetype="datetime", freq=freq)[0].tolist()


@pytest.mark.parametrize("freq", FREQUENCIES)
@pytest.mark.parametrize("zone", [None, "Europe/London"])
def test_steps_of_pandas_are_units(freq, zone):
    """What `pandas.date_range` counts with a frequency, one by one, is 0, 1, 2, ..."""
    dates = pd.date_range("2022-03-02", periods=40, freq=freq, tz=zone)
    assert numbers(dates, freq) == list(range(40))


@pytest.mark.parametrize(
    "freq", ["QS-FEB", "QE-NOV", "YS-APR", "YE-MAR", "MS", "W-TUE", "2h"]
)
def test_all_moments_of_a_unit_are_one_number(freq):
    """The last nanosecond before the next step of pandas is in the unit of the last step."""
    starts = pd.date_range("2022-01-01", periods=9, freq=freq)
    if freq in ("QE-NOV", "YE-MAR", "W-TUE"):  # named by their last days
        starts = starts.normalize() + pd.Timedelta("1D")
    before = starts[1:] - pd.Timedelta("1ns")
    assert numbers([*starts[:-1], *before], freq) == [*range(8), *range(8)]


@pytest.mark.parametrize(
    ("freq", "start", "step"),
    [("D", "2024-03-29", "D"), ("M", "2024-01-01", "MS"), ("Y", "2022-07-01", "YS-JUL")],
)
def test_days_and_longer_are_those_of_the_zone(freq, start, step):
    """In British summer, midnight is 23 o'clock of the day before in UTC."""
    local = pd.date_range(start, periods=6, freq=step, tz="Europe/London")
    assert numbers(local, freq) == numbers(local.tz_localize(None), freq) == [*range(6)]


def test_hours_are_elapsed_time():
    """Clocks in London go from 0:59 to 2:00 on one day, and show 1:00 twice on another."""
    for day, shown in (("2024-03-31", [0, 2, 3]), ("2024-10-27", [0, 1, 1])):
        utc = pd.date_range(f"{day} 00:00", periods=3, freq="h", tz="UTC")
        utc -= utc[0].tz_convert("Europe/London").utcoffset()
        local = utc.tz_convert("Europe/London")
        assert local.hour.tolist() == shown
        assert numbers(local, "h") == [0, 1, 2] and numbers(local, "15min") == [0, 4, 8]


def test_hours_begin_where_those_of_the_clock_do():
    """Calcutta is five and a half hours before Greenwich."""
    local = pd.to_datetime(["2024-01-01T10:00", "2024-01-01T10:59", "2024-01-01T11:00"])
    assert numbers(local.tz_localize("Asia/Kolkata"), "h") == [0, 0, 1]


def test_multiples_begin_at_midnight_or_at_the_first_date():
    short = pd.Series(
        pd.to_datetime(["2024-01-01T00:20", "2024-01-01T00:29", "2024-01-01T00:31"])
    )
    long = pd.Series(pd.to_datetime(["2024-01-02", "2024-01-03", "2024-01-04"]))
    assert numbers(short, "15min") == [0, 0, 1] and numbers(long, "2D") == [0, 0, 1]
    for series, freq in ((short, "15min"), (long, "2D")):
        options = {"timetype": "datetime", "freq": freq}
        t, time_min, _ = encode_time_column(series, **options)
        later, again, _ = encode_time_column(series[1:], time_min=time_min, **options)
        assert later.tolist() == t[1:].tolist() and again == time_min


def test_periods():
    months = pd.Series(pd.period_range("2023-11", periods=4, freq="M"), name="month")
    assert numbers(months, "M") == [0, 1, 2, 3] and numbers(months, "Y") == [0, 0, 1, 1]
    assert numbers(pd.period_range("2024-01-01", periods=3, freq="15min"), "15min") == [
        0,
        1,
        2,
    ]
    with pytest.raises(
        ValueError, match=r"'month' must hold periods.*got 2023-11 of period"
    ):
        numbers(months, "D")
    with pytest.raises(ValueError, match="'month' has 1 of 2"):
        numbers(months.shift(1)[:2], "M")


PARIS, TOKYO = (
    pd.Timestamp("2024-01-01", tz=zone) for zone in ("Europe/Paris", "Asia/Tokyo")
)


@pytest.mark.parametrize(
    ("entries", "mend"),
    [
        (
            [PARIS, TOKYO],
            lambda s: pd.to_datetime(s, utc=True).dt.tz_convert("Europe/Paris"),
        ),
        (
            [pd.Period("2024-01"), pd.Period("2024-02")],
            lambda s: pd.Series(pd.PeriodIndex(s)),
        ),
        (["2024-01-01", "2024-02-01"], lambda s: pd.Series(pd.to_datetime(s))),
    ],
)
def test_hints_work(entries, mend):
    series = pd.Series(entries, dtype=object)
    words = {
        PARIS: r"utc=True\), then with .dt.tz_convert",
        "2024-01-01": r"pandas\.to_datetime\.$",
    }
    with pytest.raises(TypeError, match=words.get(entries[0], r"pandas\.PeriodIndex")):
        numbers(series, "M")
    assert len(numbers(mend(series), "M")) == 2


def test_a_zone_without_a_name_is_refused():
    zone = datetime.timezone(datetime.timedelta(hours=1), "base camp")
    dates = pd.Series(pd.date_range("2024-01-01", periods=2, tz=zone))
    with pytest.raises(ValueError, match="a named time zone"):
        zone_of("day", dates)


SETTINGS = {"feature_cols": ["when"], "target_col": "y", "timetype": "datetime"}


def table(start, zone, freq="h", periods=4):
    when = pd.date_range(start, periods=periods, freq=freq, tz=zone)
    return pd.DataFrame({"when": when, "y": np.arange(float(periods))})


def test_later_tables_go_by_the_clock_of_the_first():
    train = table("2024-01-01", "Europe/Paris", "D")
    fit = fit_spatiotemporal(train, freq="D", **SETTINGS)
    assert fit.time_zone == "Europe/Paris" and not fit.use_clock
    abroad = train.assign(when=train["when"].dt.tz_convert("America/New_York"))
    assert fit.features(abroad).tolist() == fit.features(train).tolist()
    naive = train.assign(when=train["when"].dt.tz_localize(None))
    with pytest.raises(ValueError, match=r"'when' must have dates with a time zone.*Paris"):
        fit.features(naive)
    fit = fit_spatiotemporal(naive, freq="D", **SETTINGS)
    with pytest.raises(ValueError, match=r"'when' must have dates without.*'Europe/Paris'"):
        fit.features(train)


def test_seasons_of_a_day_go_by_the_local_clock():
    """Elapsed hours are the time, what clocks show is the time of the seasons."""
    seasons = {"freq": "h", "seasonality_periods": ["D"], "num_seasonal_harmonics": [1]}
    train = table("2024-03-30 23:00", "Europe/London")
    fit = fit_spatiotemporal(train, **seasons, **SETTINGS)
    assert fit.use_clock and fit.field_arguments["use_clock"]
    assert fit.features(train).tolist() == [[0, 0], [1, 1], [2, 3], [3, 4]]
    summer = table("2024-07-01 23:00", "Europe/London")
    assert (fit.features(summer)[:, 1] % 24).tolist() == [0, 1, 2, 3]
    naive = fit_spatiotemporal(table("2024-03-30", None), **seasons, **SETTINGS)
    assert not naive.use_clock
