"""Date columns as a number of time units, in the column's own time zone."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ._columns import check_present
from ._frequency import PER_DAY, Unit

Rows = Float[np.ndarray, " n"]


def check_dates(name: str, series: Any) -> None:
    """Check that the column `name` holds dates or periods, none of them missing.

    Raises:
        TypeError: If it holds anything else.
        ValueError: If an entry is missing.
    """
    import pandas as pd

    if not (_is_periods(series) or pd.api.types.is_datetime64_any_dtype(series.dtype)):
        raise TypeError(
            f"The column {name!r} must hold dates, got {series.dtype}. {_mend(series)}"
        )
    check_present(name, series.isna().to_numpy(), series.index)


def _mend(series: Any) -> str:
    """How to convert a column to dates."""
    import pandas as pd

    present = series.dropna()
    if series.dtype == object and len(present):
        if all(isinstance(value, pd.Period) for value in present):
            return "Convert it with pandas.PeriodIndex."
        if any(getattr(value, "tzinfo", None) is not None for value in present):
            return (
                "Its entries have different time zones: convert it with "
                "pandas.to_datetime(..., utc=True), then with .dt.tz_convert('Europe/Paris') "
                "to the zone whose days and months are meant."
            )
    return "Convert it with pandas.to_datetime."


def zone_of(name: str, series: Any) -> str | None:
    """The time zone of a column of dates, None if it has none.

    Raises:
        ValueError: If the zone has no name known to pandas, so that it cannot be stored.
    """
    import pandas as pd

    zone = None if _is_periods(series) else series.dt.tz
    if zone is None:
        return None
    try:
        pd.Timestamp(0, tz=str(zone))
    except Exception as error:
        raise ValueError(
            f"The column {name!r} must have a named time zone, got {zone!r}. Convert it with "
            ".dt.tz_convert('Europe/Paris'), for example."
        ) from error
    return str(zone)


def on_clock(name: str, series: Any, zone: str | None) -> Any:
    """Convert a column to `zone`, the time zone of the training table.

    Raises:
        ValueError: If only one of the two has a time zone.
    """
    own = zone_of(name, series)
    if own == zone:
        return series
    if own is None:
        raise ValueError(
            f"The column {name!r} must have dates with a time zone, as the training table "
            f"has, got some without. Add it with .dt.tz_localize({zone!r})."
        )
    if zone is None:
        raise ValueError(
            f"The column {name!r} must have dates without a time zone, as the training table "
            f"has, got {own!r}. Drop it with .dt.tz_localize(None)."
        )
    return series.dt.tz_convert(zone)


def ordinals(
    name: str, series: Any, unit: Unit, time_min: float | None, *, is_clock: bool = False
) -> tuple[Rows, float]:
    """The number of units since `time_min`, and `time_min`.

    Days and longer units follow the column's own calendar. Hours and shorter units are elapsed
    time, which daylight saving time does not affect.

    Args:
        name: The column's name.
        series: A column of dates or periods.
        unit: The unit.
        time_min: The number of ``unit.base`` at which the first unit begins; None for the
            unit of the first date. Multiples of a unit that is shorter than a day are
            counted from midnight, other multiples from the first date.
        is_clock: Whether hours and shorter units follow local clock time.

    Raises:
        ValueError: If a period does not lie within one unit.
    """
    starts, ends = _moments(series, unit, is_clock)
    first = starts.dt.to_period(unit.period).astype("int64").to_numpy()
    if time_min is None:
        low = int(first.min()) if len(first) else 0
        midnight = low - low % PER_DAY.get(unit.base, 1) if unit.base in PER_DAY else low
        time_min = float(low - (low - midnight) % unit.count)
    t = np.floor((first - time_min) / unit.count)
    if ends is not None:
        last = ends.dt.to_period(unit.period).astype("int64").to_numpy()
        is_long = np.floor((last - time_min) / unit.count) != t
        if is_long.any():
            raise ValueError(
                f"The column {name!r} must hold periods that lie within one unit of `freq`, "
                f"got {series.iloc[int(is_long.argmax())]} of {series.dtype}. Use a `freq` at "
                "least as long, or convert them to dates with .dt.to_timestamp()."
            )
    return t, time_min


def _moments(series: Any, unit: Unit, is_clock: bool) -> tuple[Any, Any]:
    """Dates without a zone, on the clock on which `unit` is counted; for periods, also the ends."""
    import pandas as pd

    if _is_periods(series):
        return series.dt.start_time, series.dt.end_time
    zone = series.dt.tz
    if zone is None:
        return series, None
    if unit.base not in PER_DAY or is_clock:
        return series.dt.tz_localize(None), None
    # One offset for all, so that units start on the local hour in zones offset by half an hour.
    then: Any = pd.Timestamp("2000-01-01", tz="UTC").tz_convert(zone)
    return series.dt.tz_convert("UTC").dt.tz_localize(None) + then.utcoffset(), None


def _is_periods(series: Any) -> bool:
    import pandas as pd

    return isinstance(series.dtype, pd.PeriodDtype)
