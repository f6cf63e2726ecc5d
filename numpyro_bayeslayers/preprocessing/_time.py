"""Times as numbers of a unit since the first one, and periods in that unit."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from ._columns import Rows, as_floats, check_present

# A year of the calendar, on average, in days.
YEAR = 365.2425

# How a time column may be given: the catalog's words, and those of the bayesnf package.
IS_DATE = {"int": False, "float": False, "datetime": True, "index": True}


class Unit(NamedTuple):
    """A unit of time: its name in pandas, and its mean length in days."""

    name: str
    days: float


_UNITS = {
    unit.name: unit
    for unit in (
        Unit("s", 1 / 86400),
        Unit("min", 1 / 1440),
        Unit("h", 1 / 24),
        Unit("D", 1.0),
        Unit("W", 7.0),
        Unit("M", YEAR / 12),
        Unit("Q", YEAR / 4),
        Unit("Y", YEAR),
    )
}
# Letters that pandas has used for them, in its versions, in either case. Starts and ends
# of a month are within one month.
_NAMES = {
    "s": ("s", "sec"),
    "min": ("min", "t"),
    "h": ("h", "hour"),
    "D": ("d", "day"),
    "W": ("w", "week"),
    "M": ("m", "me", "ms", "month"),
    "Q": ("q", "qe", "qs", "quarter"),
    "Y": ("y", "ye", "ys", "a", "year"),
}
_UNIT_OF = {alias: _UNITS[name] for name, aliases in _NAMES.items() for alias in aliases}
_ANCHORED = re.compile(r"([A-Za-z]+)(-[A-Za-z]{3})?")


def unit_of(name: str, freq: Any) -> Unit:
    """The unit that a frequency of pandas means, with its anchor (``"W-MON"``), if any.

    Raises:
        TypeError: If `freq` is no string.
        ValueError: If it is no such frequency.
    """
    _checks.instance(name, freq, str, "a frequency such as 'D'")
    match = _ANCHORED.fullmatch(freq)
    unit = _UNIT_OF.get(match[1].lower()) if match else None
    if match is None or unit is None or (match[2] and unit.name not in "WQY"):
        raise ValueError(
            f"`{name}` must be one unit of time, one of {sorted(_UNITS)} in upper or lower "
            f"case, or one with an anchor such as 'W-MON', got {freq!r}."
        )
    return unit._replace(name=unit.name + (match[2] or "").upper())


def encode_time_column(
    series: Any,
    *,
    timetype: str = "int",
    freq: str | None = None,
    time_min: float | None = None,
) -> tuple[Rows, float, float]:
    """Times as numbers, from zero at the first one.

    Dates become the number of calendar units from the unit of the first date: with
    ``freq="M"``, all days of one month are one number. The order of rows does not matter.
    Dates with a time zone are converted to UTC, and dates without one are taken to be in
    UTC, so that both may be mixed between tables.

    Args:
        series: A pandas column (or whatever `pandas.Series` takes).
        timetype: ``"datetime"`` for dates, ``"int"`` for numbers, which are only shifted;
            ``"index"`` and ``"float"``, as the package bayesnf has it, mean the same.
        freq: The unit: hour, day, week, month, quarter or year as pandas writes them
            (``"h"``, ``"D"``, ``"W"``, ``"M"``, ``"Q"``, ``"Y"``; upper or lower case;
            weeks, quarters and years also with an anchor, ``"W-MON"``), or ``"min"``,
            ``"s"``. Dates need it; for numbers it must be None.
        time_min: What counts as zero, from an earlier call on the training rows. None for
            the first time of `series`.

    Returns:
        The times t (n,) in double precision; `time_min`, the first time as a number (for
        dates, pandas' ordinal of its unit); and the scale, the largest t, or 1 if there is
        none above zero.

    Raises:
        ImportError: If pandas is not installed.
        TypeError: If the column holds neither dates nor numbers, as `timetype` says.
        ValueError: If an entry is missing, `timetype` or `freq` is no known one, or there
            is a `freq` for numbers or none for dates.

    Example:
        >>> import pandas as pd
        >>> days = pd.Series(pd.to_datetime(["2005-01-03", "2005-01-10", "2005-01-31"]))
        >>> t, time_min, scale = encode_time_column(days, timetype="datetime", freq="W")
        >>> t.tolist(), time_min, scale
        ([0.0, 1.0, 4.0], 1828.0, 4.0)
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "Time columns need pandas: pip install 'numpyro-bayeslayers[estimators]'."
        ) from error

    series = pd.Series(series)
    name = str(series.name if series.name is not None else "series")
    check_time(timetype, freq)
    if freq is None:
        values = as_floats(series, name)
        check_present(name, ~np.isfinite(values), series.index)
    else:
        if not pd.api.types.is_datetime64_any_dtype(series.dtype):
            raise TypeError(
                f"The column {name!r} must hold dates (`timetype`={timetype!r}), got "
                f"{series.dtype}. Convert it with pandas.to_datetime."
            )
        check_present(name, series.isna().to_numpy(), series.index)
        dates = pd.to_datetime(series, utc=True).dt.tz_localize(None)
        units = dates.dt.to_period(unit_of("freq", freq).name)
        values = units.astype("int64").to_numpy(dtype=float)
    if time_min is None:
        time_min = values.min() if len(values) else 0.0
    t = values - float(time_min)
    scale = t.max(initial=0.0)
    return t, float(time_min), float(scale) if scale > 0 else 1.0


def check_time(timetype: Any, freq: Any) -> None:
    """`timetype` is known, and goes with `freq`."""
    _checks.one_of("timetype", timetype, IS_DATE)
    if IS_DATE[timetype]:
        if freq is None:
            raise ValueError(f"`freq` must be given for `timetype`={timetype!r}, got None.")
        unit_of("freq", freq)
    elif freq is not None:
        raise ValueError(
            f"`freq` must be None for `timetype`={timetype!r}, whose numbers have no unit, "
            f"got {freq!r}. Use `timetype`='datetime' for dates."
        )


def periods_in(freq: str | None, periods: Sequence[Any] | np.ndarray) -> tuple[float, ...]:
    """Seasonal periods as numbers of the unit `freq`.

    Those given as units themselves (``"Y"``) are converted by their mean lengths: a year
    has 365.2425 days, 52.1775 weeks, 12 months.

    Raises:
        TypeError: If one is neither a number nor a string.
        ValueError: If one is shorter than the unit, or a string and there is no unit.
    """
    found = []
    for i, period in enumerate(periods):
        name = f"seasonality_periods[{i}]"
        if isinstance(period, str):
            if freq is None:
                raise ValueError(
                    f"`{name}` must be a number where `freq` is None, got {period!r}."
                )
            number = unit_of(name, period).days / unit_of("freq", freq).days
            # 12 months a year, whatever the binary fractions of their lengths.
            number = round(number) if abs(number - round(number)) < 1e-9 else number
        else:
            _checks.positive(name, period)
            number = float(period)
        if number < 1:
            raise ValueError(
                f"`{name}` must be at least one unit of time long (`freq`={freq!r}), got "
                f"{period!r}, which is {number:.4g}."
            )
        found.append(float(number))
    return tuple(found)
