"""Units of time, given as pandas frequency strings."""

import re
from typing import Any, NamedTuple

from .. import _checks

# The mean length of a calendar year, in days.
YEAR = 365.2425

_DAYS = {
    "s": 1 / 86400,
    "min": 1 / 1440,
    "h": 1 / 24,
    "D": 1.0,
    "W": 7.0,
    "M": YEAR / 12,
    "Q": YEAR / 4,
    "Y": YEAR,
}
#: The number of clock units (not calendar units) in a day.
PER_DAY = {"s": 86400, "min": 1440, "h": 24}

# The aliases in all versions of pandas, in either case; those in the second line name the start
# of a unit.
_NAMES = {
    "s": "s",
    "min": "min", "t": "min",
    "h": "h",
    "d": "D",
    "w": "W",
    "m": "M", "me": "M",
    "q": "Q", "qe": "Q",
    "y": "Y", "a": "Y", "ye": "Y",
}  # fmt: skip
_STARTS = {"ms": "M", "qs": "Q", "ys": "Y", "as": "Y"}
_ENDS = ("DEC", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV")
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_FREQUENCY = re.compile(r"(\d*)([A-Za-z]+)(?:-([A-Za-z]{3}))?")


class Unit(NamedTuple):
    """A unit of time.

    Args:
        base: The base unit: a pandas alias.
        count: The number of base units.
        anchor: For weeks, the last day; for quarters and years, a month at whose end a unit
            ends.
    """

    base: str
    count: int
    anchor: str

    @property
    def period(self) -> str:
        """The name of `base` as the frequency of a pandas Period."""
        return f"{self.base}-{self.anchor}" if self.anchor else self.base

    @property
    def days(self) -> float:
        """The mean length in days."""
        return self.count * _DAYS[self.base]


def unit_of(name: str, freq: Any) -> Unit:
    """The unit of time of a pandas frequency string.

    Quarters and years are anchored to a month at whose end they end (``"QE-DEC"``, ``"Y-DEC"``)
    or at whose start they start (``"QS-JAN"``, ``"YS-JAN"``), weeks to their last day.

    Raises:
        TypeError: If `freq` is not a string.
        ValueError: If it is not a supported frequency.

    Example:
        >>> unit_of("freq", "15min")
        Unit(base='min', count=15, anchor='')
        >>> unit_of("freq", "QS-JAN").period, unit_of("freq", "Q").period
        ('Q-DEC', 'Q-DEC')
    """
    _checks.instance(name, freq, str, "a frequency such as 'D'")
    match = _FREQUENCY.fullmatch(freq)
    if match is None:
        raise ValueError(_unknown(name, freq))
    count, letters, anchor = int(match[1] or 1), match[2].lower(), (match[3] or "").upper()
    is_start = letters in _STARTS
    base = _STARTS.get(letters) or _NAMES.get(letters)
    if base is None or count < 1 or match[2] == "ms":
        raise ValueError(_unknown(name, freq))
    if base == "W":
        anchors, default = _WEEKDAYS, "SUN"
    elif base in "QY":
        anchors, default = _ENDS, "JAN" if is_start else "DEC"
    else:
        anchors, default = ("",), ""
    anchor = anchor or default
    if anchor not in anchors:
        raise ValueError(_unknown(name, freq))
    if is_start and anchor:
        anchor = _ENDS[(_ENDS.index(anchor) - 1) % 12]
    return Unit(base, count, anchor)


def _unknown(name: str, freq: str) -> str:
    hint = " 'ms' is a millisecond in pandas; the start of a month is 'MS'." * (
        freq.endswith("ms")
    )
    return (
        f"`{name}` must be a unit of time, one of {sorted(_DAYS)}, or a multiple such as "
        "'15min'; weeks, quarters and years may have an anchor such as 'W-MON', 'QS-JAN' or "
        f"'YE-MAR'; got {freq!r}.{hint}"
    )
