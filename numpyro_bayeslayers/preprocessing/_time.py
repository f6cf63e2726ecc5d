"""Times as a number of units since the first one, and periods in that unit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from ._calendar import check_dates, ordinals
from ._columns import Rows, as_floats, check_present
from ._frequency import unit_of

# The kinds of time columns: our names, and those of the package bayesnf.
IS_DATE = {"int": False, "float": False, "datetime": True, "index": True}


def encode_time_column(
    series: Any,
    *,
    timetype: str = "int",
    freq: str | None = None,
    time_min: float | None = None,
) -> tuple[Rows, float, float]:
    """Encode times as numbers, starting from zero at the first one.

    Dates become the number of calendar units since the unit of the first date: with
    ``freq="M"``, all days of one month have the same number. The order of rows does not matter.
    Days, weeks, months, quarters and years follow the calendar of the column's time zone, if it
    has one. Hours, minutes and seconds are elapsed time, which daylight saving time does not
    affect.

    Args:
        series: A pandas Series (or anything that `pandas.Series` accepts) of dates, of numbers,
            or of periods that each lie within one unit.
        timetype: ``"datetime"`` for dates, ``"int"`` for numbers, which are only shifted;
            ``"index"`` and ``"float"``, the names in the package bayesnf, are aliases.
        freq: The unit: second, minute, hour, day, week, month, quarter or year as pandas writes
            them (``"s"``, ``"min"``, ``"h"``, ``"D"``, ``"W"``, ``"M"``, ``"Q"``, ``"Y"``;
            upper or lower case; ``"ME"`` and ``"MS"`` are ``"M"``), or a multiple such as
            ``"15min"``. Weeks end on the day that they name (``"W-MON"``), quarters and years
            start or end with the month (``"QS-JAN"``, ``"QE-DEC"``). Multiples are counted from
            the first date; those of hours, minutes and seconds from the midnight before it.
            Required for dates; must be None for numbers.
        time_min: The origin, from an earlier call on the training rows. None for the first time
            of `series`.

    Returns:
        The times t (n,) in double precision; `time_min`, the first time as a number (for dates,
        the ordinal of the pandas Period); and the scale, the largest t, or 1 if no t is
        positive.

    Raises:
        ImportError: If pandas is not installed.
        TypeError: If the column does not hold dates or numbers, as `timetype` states.
        ValueError: If an entry is missing, a period is longer than a unit, `timetype` or `freq`
            is unknown, `freq` is given for numbers, or it is missing for dates.

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
        if time_min is None:
            time_min = values.min() if len(values) else 0.0
        t = values - float(time_min)
    else:
        check_dates(name, series)
        t, time_min = ordinals(name, series, unit_of("freq", freq), time_min)
    scale = t.max(initial=0.0)
    return t, float(time_min), float(scale) if scale > 0 else 1.0


def check_time(timetype: Any, freq: Any) -> None:
    """Check that `timetype` is known and consistent with `freq`."""
    _checks.one_of("timetype", timetype, IS_DATE)
    if IS_DATE[timetype]:
        if freq is None:
            raise ValueError(f"`freq` must be given for `timetype`={timetype!r}, got None.")
        unit_of("freq", freq)
    elif freq is not None:
        raise ValueError(
            f"`freq` must be None for `timetype`={timetype!r}, since numbers have no unit of "
            f"time, got {freq!r}. Use `timetype`='datetime' for dates."
        )


def periods_in(freq: str | None, periods: Sequence[Any] | np.ndarray) -> tuple[float, ...]:
    """Seasonal periods in units of `freq`.

    Periods given as names of units (``"Y"``) are converted by their mean lengths: a year has
    365.2425 days, 52.1775 weeks, 12 months.

    Raises:
        TypeError: If one is neither a number nor a string.
        ValueError: If one is shorter than the unit, or is a string although there is no unit.
    """
    found = []
    for i, period in enumerate(periods):
        name = f"seasonality_periods[{i}]"
        if isinstance(period, str):
            if freq is None:
                raise ValueError(
                    f"`{name}` must be a number if `freq` is None, got {period!r}."
                )
            number = unit_of(name, period).days / unit_of("freq", freq).days
            # Exactly 12 months per year, despite rounding of their lengths.
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
