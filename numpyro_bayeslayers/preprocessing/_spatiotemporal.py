"""Fit and apply the encoding of spatiotemporal tables."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .. import _checks
from ._calendar import check_dates, on_clock, ordinals, zone_of
from ._columns import (
    Rows,
    as_floats,
    as_table,
    check_names,
    check_present,
    column,
    numbers,
)
from ._frequency import PER_DAY, unit_of
from ._standardization import fit_standardization
from ._time import IS_DATE, check_time, encode_time_column, periods_in
from .schema._numbers import check_floats

# The default of the package bayesnf.
_DEGREE = 5


class SpatiotemporalFit(NamedTuple):
    """The encoding of tables as inputs of a neural field; returned by `fit_spatiotemporal`.

    It contains only numbers, strings and tuples, so it can be compared, hashed and stored.

    Args:
        feature_cols: Names of the D input columns.
        target_col: Name of the target column.
        time_col: The position of the time in `feature_cols`.
        timetype: ``"datetime"`` or ``"int"``, or the aliases ``"index"`` and ``"float"``.
        freq: The unit of time of dates, or None.
        time_min: The first training time.
        mu: The number subtracted from each column: its mean if standardized, else 0.
        std: The divisor of each column: its standard deviation if standardized, else 1.
        input_scales: The largest training time for the time column, 1 for the others.
        fourier_degrees: The number of Fourier degrees of each column.
        interactions: Pairs of column positions.
        seasonality_periods: Periods in units of time.
        num_seasonal_harmonics: The number of harmonics of each period.
        time_zone: The time zone of the training dates, or None if they have none.

    Example:
        >>> import pandas as pd
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-02"])
        >>> df = pd.DataFrame({"day": days, "x": [1.0, 2.0, 3.0], "y": [5.0, 6.0, None]})
        >>> fit = fit_spatiotemporal(df, feature_cols=["day", "x"], target_col="y",
        ...     timetype="datetime", freq="D", standardize=["x"])
        >>> fit.features(df).round(2).tolist()
        [[0.0, -1.0], [2.0, 1.0], [1.0, 3.0]]
        >>> fit.target(df).tolist(), fit.input_scales
        ([5.0, 6.0, nan], (2.0, 1.0))
    """

    feature_cols: tuple[str, ...]
    target_col: str
    time_col: int
    timetype: str
    freq: str | None
    time_min: float
    mu: tuple[float, ...]
    std: tuple[float, ...]
    input_scales: tuple[float, ...]
    fourier_degrees: tuple[int, ...]
    interactions: tuple[tuple[int, int], ...]
    seasonality_periods: tuple[float, ...]
    num_seasonal_harmonics: tuple[float | int, ...]
    time_zone: str | None = None

    @property
    def use_clock(self) -> bool:
        """Whether seasons follow local clock time, which differs from elapsed time."""
        is_short = self.freq is not None and unit_of("freq", self.freq).base in PER_DAY
        return self.time_zone is not None and is_short and bool(self.seasonality_periods)

    def features(self, df: Any) -> Float[np.ndarray, "n d"]:
        """The inputs of each row, in the row order of `df`, in double precision.

        If `use_clock` is true, local clock time is added as the last column.

        Args:
            df: A table, as in `fit_spatiotemporal`, with the columns `feature_cols`; others are
                ignored. Dates in another time zone are converted to that of the training dates.

        Raises:
            TypeError: If `df` is not a table, or a column is not numeric (for the time: not
                dates).
            ValueError: If a column does not exist, an entry is missing or infinite, or only one
                of these dates and the training dates has a time zone.
        """
        df = as_table("df", df)
        t, clock = self._times(df)
        columns = [
            t if i == self.time_col else numbers(df, name)
            for i, name in enumerate(self.feature_cols)
        ]
        x = (np.stack(columns, axis=1) - np.asarray(self.mu)) / np.asarray(self.std)
        for name, values in zip(self.feature_cols, x.T, strict=True):
            check_floats(name, values, is_first=False)
        return np.column_stack([x, clock]) if self.use_clock else x

    def _times(self, df: Any) -> tuple[Rows, Rows]:
        """The time of each row, and its local clock time."""
        name = self.feature_cols[self.time_col]
        series = column(df, name)
        if IS_DATE[self.timetype]:
            check_dates(name, series)
            series = on_clock(name, series, self.time_zone)
        t, time_min, _ = encode_time_column(
            series, timetype=self.timetype, freq=self.freq, time_min=self.time_min
        )
        if not self.use_clock:
            return t, t
        unit = unit_of("freq", self.freq)
        return t, ordinals(name, series, unit, time_min, is_clock=True)[0]

    def target(self, df: Any) -> Rows:
        """The target of each row in its own unit, NaN where it is missing.

        Raises:
            TypeError: If the column is not numeric.
            ValueError: If there is no such column, or an entry is infinite.
        """
        df = as_table("df", df)
        values = as_floats(column(df, self.target_col), self.target_col)
        check_present(self.target_col, np.isinf(values), df.index)
        return values

    @property
    def field_arguments(self) -> dict[str, Any]:
        """The arguments of the layer `BayesianNeuralField` except its width and depth."""
        names = (
            "input_scales",
            "fourier_degrees",
            "interactions",
            "seasonality_periods",
            "num_seasonal_harmonics",
            "time_col",
            "use_clock",
        )
        return {name: getattr(self, name) for name in names}


def fit_spatiotemporal(
    df: Any,
    *,
    feature_cols: Sequence[str],
    target_col: str,
    timetype: str,
    freq: str | None = None,
    seasonality_periods: Sequence[Any] | np.ndarray | None = None,
    num_seasonal_harmonics: Sequence[Any] | np.ndarray | None = None,
    fourier_degrees: Sequence[Any] | np.ndarray | None = None,
    interactions: Sequence[Any] | np.ndarray | None = None,
    standardize: Sequence[str] | None = None,
    time_col: int = 0,
) -> SpatiotemporalFit:
    """Fit the encoding of tables to the training table.

    The order of rows does not matter. Rows without a target are ignored. Rows with equal
    features (two measurements at one place and time, or dates in the same unit of time) are
    kept as separate measurements, with a warning that counts them.

    Args:
        df: The training table, one row per measurement: a pandas DataFrame, or (through
            narwhals) a table of another library.
        feature_cols: Names of the input columns: the time, the coordinates, and any other
            features.
        target_col: Name of the target column.
        timetype: ``"datetime"`` (or ``"index"``) for dates, ``"int"`` (or ``"float"``) for
            numbers; see `encode_time_column`.
        freq: The unit of time, for dates.
        seasonality_periods: Periods in units of time, or names of units: ``"Y"`` is 52.1775 if
            `freq` is ``"W"``. None for none.
        num_seasonal_harmonics: The number of harmonics of each period, at most half the period;
            it may be a fraction for continuous time, see `BayesianNeuralField`.
        fourier_degrees: The number of Fourier degrees of each feature; 5 for each if None.
        interactions: Pairs of positions in `feature_cols`. None for none.
        standardize: Names of the features to standardize, which must not include the time.
        time_col: The position of the time in `feature_cols`.

    Raises:
        ImportError: If pandas is not installed.
        TypeError: If an argument has the wrong type, or a column is not numeric.
        ValueError: If a column does not exist or has missing or infinite features, no row
            has a target, the time is to be standardized, lengths do not agree, or a number
            is out of range.

    Example:
        >>> import pandas as pd
        >>> df = pd.DataFrame({"month": pd.date_range("2020-01", periods=3, freq="MS"),
        ...                    "depth": [0.0, 5.0, 10.0], "heat": [1.0, 2.0, 3.0]})
        >>> fit = fit_spatiotemporal(df, feature_cols=["month", "depth"], target_col="heat",
        ...     timetype="datetime", freq="M", seasonality_periods=["Y"],
        ...     num_seasonal_harmonics=[2], interactions=[(0, 1)], standardize=["depth"])
        >>> fit.seasonality_periods, fit.mu, fit.fourier_degrees
        ((12.0,), (0.0, 5.0), (5, 5))

    References:
        Saad, Burnim, Carroll, Patton, Köster, Saurous, Hoffman (2024), "Scalable
        spatiotemporal prediction with Bayesian neural fields", Nature Communications 15.
    """
    df = as_table("df", df)
    features = check_names("feature_cols", feature_cols)
    time_col = _checks.integer("time_col", time_col)
    if not 0 <= time_col < len(features):
        raise ValueError(
            f"`time_col` must be a position in `feature_cols`, from 0 to "
            f"{len(features) - 1}, got {time_col}."
        )
    check_time(timetype, freq)
    for name in (*features, target_col):
        column(df, name)
    if target_col in features:
        raise ValueError(
            f"`target_col` must not be one of `feature_cols`, got {target_col!r}."
        )
    standardized = check_names("standardize", () if standardize is None else standardize)
    for name in standardized:
        _checks.one_of("standardize", name, features)
    if features[time_col] in standardized:
        raise ValueError(
            f"`standardize` must not include the time, got {features[time_col]!r}: it is "
            "already divided by its largest training value."
        )
    periods = periods_in(freq, () if seasonality_periods is None else seasonality_periods)
    harmonics = _harmonics(num_seasonal_harmonics)
    degrees = _degrees(fourier_degrees, len(features))
    if len(harmonics) != len(periods):
        raise ValueError(
            "`num_seasonal_harmonics` must have one entry for each of the "
            f"{len(periods)} `seasonality_periods`, got {len(harmonics)}."
        )

    y = as_floats(df[target_col], target_col)
    check_present(target_col, np.isinf(y), df.index)
    is_known = ~np.isnan(y)
    if not is_known.any():
        raise ValueError(
            f"The column {target_col!r} must have at least one entry that is not missing."
        )
    known = df[is_known]
    times = known[features[time_col]]
    _, time_min, time_scale = encode_time_column(times, timetype=timetype, freq=freq)
    mu, std = fit_standardization(known, standardized)
    moments = dict(zip(standardized, zip(mu, std, strict=True), strict=True))
    ones = [1.0] * len(features)
    ones[time_col] = time_scale
    fit = SpatiotemporalFit(
        feature_cols=features,
        target_col=target_col,
        time_col=time_col,
        timetype=timetype,
        freq=freq,
        time_min=time_min,
        mu=tuple(float(moments.get(name, (0.0, 1.0))[0]) for name in features),
        std=tuple(float(moments.get(name, (0.0, 1.0))[1]) for name in features),
        input_scales=tuple(ones),
        fourier_degrees=degrees,
        interactions=_pairs(interactions, len(features)),
        seasonality_periods=periods,
        num_seasonal_harmonics=harmonics,
        time_zone=zone_of(features[time_col], times) if IS_DATE[timetype] else None,
    )
    found = fit.features(known)
    for name, values in zip(features, found.T[: len(features)], strict=True):
        check_floats(name, values, is_first=True)
    _warn_of_repeated(found)
    return fit


def _harmonics(counts: Any) -> tuple[float | int, ...]:
    found = tuple(() if counts is None else counts)
    for i, count in enumerate(found):
        _checks.non_negative(f"num_seasonal_harmonics[{i}]", count)
    # Whole numbers as integers, whatever their type.
    return tuple(int(c) if c == int(c) else float(c) for c in found)


def _degrees(degrees: Any, num_columns: int) -> tuple[int, ...]:
    found = (_DEGREE,) * num_columns if degrees is None else tuple(degrees)
    if len(found) != num_columns:
        raise ValueError(
            f"`fourier_degrees` must have one entry for each of the {num_columns} "
            f"`feature_cols`, got {len(found)}."
        )
    for i, degree in enumerate(found):
        _checks.count(f"fourier_degrees[{i}]", degree)
    return tuple(int(degree) for degree in found)


def _pairs(pairs: Any, num_columns: int) -> tuple[tuple[int, int], ...]:
    found = np.asarray(() if pairs is None else pairs)
    if not found.size:
        return ()
    is_integer = np.issubdtype(found.dtype, np.integer)
    if found.ndim != 2 or found.shape[1] != 2 or not is_integer:
        raise ValueError(
            f"`interactions` must be pairs of positions in `feature_cols`, got {pairs!r}."
        )
    if found.min() < 0 or found.max() >= num_columns:
        raise ValueError(
            f"`interactions` must be pairs of positions from 0 to {num_columns - 1}, got "
            f"{pairs!r}."
        )
    return tuple((int(i), int(j)) for i, j in found)


def _warn_of_repeated(features: Float[np.ndarray, "n d"]) -> None:
    repeated = len(features) - len(np.unique(features, axis=0))
    if repeated:
        warnings.warn(
            f"{repeated} of {len(features)} rows repeat the features of an earlier row: "
            "several measurements at one place and time, or within one unit of time "
            "(`freq`). Each counts as a measurement.",
            stacklevel=3,
        )
