"""Tables as inputs of a field: encoding, what is kept from training, and bad tables."""

import json

import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.preprocessing import fit_spatiotemporal

pytestmark = pytest.mark.usefixtures("as_users_run")

COLUMNS = {
    "feature_cols": ["datetime", "latitude", "longitude"],
    "target_col": "cases",
    "timetype": "index",
    "freq": "W",
}


def table(**columns):
    weeks = pd.date_range("2005-01-03", periods=3, freq="7D")
    df = pd.DataFrame(
        {
            "datetime": list(weeks) * 2,
            "latitude": [46.0] * 3 + [48.0] * 3,
            "longitude": [17.0] * 3 + [21.0] * 3,
            "cases": [3.0, 4.0, 5.0, 30.0, 40.0, 50.0],
        }
    )
    return df.assign(**columns)


def test_features_by_hand():
    fit = fit_spatiotemporal(table(), standardize=["latitude"], **COLUMNS)
    expected = [[t, lat, lon] for lat, lon in ((-1, 17), (1, 21)) for t in range(3)]
    assert fit.features(table()).tolist() == expected
    assert fit.input_scales == (2.0, 1.0, 1.0)
    assert fit.target(table()).tolist() == table()["cases"].tolist()


def test_later_table_is_encoded_as_the_training_table():
    fit = fit_spatiotemporal(table(), standardize=["latitude", "longitude"], **COLUMNS)
    later = pd.DataFrame(
        {"longitude": [23.0], "latitude": [47.0], "datetime": [pd.Timestamp("2004-12-27")]}
    )
    assert fit.features(later).tolist() == [[-1.0, 0.0, 2.0]]


def test_rows_without_a_target_take_no_part():
    """Neither in means nor in the first and the last time."""
    df = table(cases=[np.nan, 4.0, np.nan, np.nan, 40.0, 50.0])
    fit = fit_spatiotemporal(df, standardize=["latitude"], **COLUMNS)
    assert fit.mu[1] == pytest.approx((46.0 + 48.0 + 48.0) / 3)
    assert fit.input_scales[0] == 1.0
    assert fit.features(df)[:, 0].tolist() == [-1.0, 0.0, 1.0] * 2


def test_time_may_stand_anywhere():
    fit = fit_spatiotemporal(
        table(), **COLUMNS | {"feature_cols": ["latitude", "datetime"], "time_col": 1}
    )
    assert fit.features(table())[:4].tolist() == [[46, 0], [46, 1], [46, 2], [48, 0]]
    assert fit.input_scales == (1.0, 2.0)
    assert fit.field_arguments["time_col"] == 1


def test_arguments_of_the_field():
    fit = fit_spatiotemporal(
        table(),
        **COLUMNS,
        seasonality_periods=np.array([4.0, 52.1775]),
        num_seasonal_harmonics=np.array([2.0, 10]),
        fourier_degrees=[0, 3, 3],
        interactions=np.array([(0, 1), (1, 2)]),
    )
    assert fit.field_arguments == {
        "input_scales": (2.0, 1.0, 1.0),
        "fourier_degrees": (0, 3, 3),
        "interactions": ((0, 1), (1, 2)),
        "seasonality_periods": (4.0, 52.1775),
        "num_seasonal_harmonics": (2, 10),
        "time_col": 0,
        "use_clock": False,
    }


def test_defaults_are_those_of_bayesnf():
    fit = fit_spatiotemporal(table(), **COLUMNS)
    assert fit.fourier_degrees == (5, 5, 5)
    assert fit.interactions == fit.seasonality_periods == ()
    assert fit.mu == (0.0,) * 3 and fit.std == (1.0,) * 3


def test_a_fit_is_a_value():
    one, two = (fit_spatiotemporal(table(), **COLUMNS) for _ in range(2))
    assert one == two and hash(one) == hash(two)
    assert json.loads(json.dumps(one._asdict()))["time_min"] == one.time_min


def test_order_of_rows_does_not_matter():
    backwards = table()[::-1]
    fit = fit_spatiotemporal(table(), standardize=["latitude"], **COLUMNS)
    assert fit_spatiotemporal(backwards, standardize=["latitude"], **COLUMNS) == fit
    assert fit.features(backwards).tolist() == fit.features(table())[::-1].tolist()


def test_repeated_rows_are_kept_and_counted():
    double = pd.concat([table(), table()[:2]])
    with pytest.warns(UserWarning, match="2 of 8 rows repeat the features"):
        fit = fit_spatiotemporal(double, **COLUMNS)
    assert fit.features(double).shape == (8, 3)
    with pytest.warns(UserWarning, match="4 of 6 rows"):  # three weeks in one year
        fit_spatiotemporal(table(), **COLUMNS | {"freq": "Y"})


@pytest.mark.parametrize(
    ("df", "options", "error", "words"),
    [
        (table().drop(columns="cases"), {}, ValueError, "must be one of.*got 'cases'"),
        (table().drop(columns="latitude"), {}, ValueError, "must be one of.*'latitude'"),
        (table(latitude="north"), {}, TypeError, "'latitude' must hold numbers"),
        (table(cases="many"), {}, TypeError, "'cases' must hold numbers"),
        (table(cases=np.nan), {}, ValueError, "'cases' must have at least one entry"),
        (table(longitude=[17.0] * 5 + [np.nan]), {}, ValueError, "'longitude' has 1 of 6"),
        (table(datetime=["2005-01-03"] * 6), {}, TypeError, "to_datetime"),
        (table(datetime=pd.NaT), {}, ValueError, "'datetime' has 6 of 6"),
        (table(), {"feature_cols": "datetime"}, TypeError, "`feature_cols` must be"),
        (
            table(),
            {"target_col": "latitude"},
            ValueError,
            "`target_col` must not be one of `feature_cols`",
        ),
        (table(), {"time_col": 3}, ValueError, "`time_col` must be a position"),
        (table(), {"standardize": ["datetime"]}, ValueError, "not include the time"),
        (table(), {"standardize": ["height"]}, ValueError, "`standardize` must be one of"),
        (table(), {"timetype": "int"}, ValueError, "`freq` must be None"),
        (
            table(),
            {"seasonality_periods": ["Y"]},
            ValueError,
            "one entry for each of the 1",
        ),
        (table(), {"seasonality_periods": ["D"]}, ValueError, "at least one unit"),
        (table(), {"fourier_degrees": [1, 2]}, ValueError, "each of the 3"),
        (
            table(),
            {"fourier_degrees": [1, 2, -1]},
            ValueError,
            r"degrees\[2\]. must be zero",
        ),
        (table(), {"fourier_degrees": [1, 2, 0.5]}, TypeError, r"degrees\[2\]. must be a"),
        (table(), {"interactions": [(0, 3)]}, ValueError, "positions from 0 to 2"),
        (table(), {"interactions": [(0.0, 1.0)]}, ValueError, "must be pairs"),
        (table(), {"interactions": [0, 1]}, ValueError, "must be pairs"),
    ],
)
def test_errors(df, options, error, words):
    with pytest.raises(error, match=words):
        fit_spatiotemporal(df, **COLUMNS | options)


def test_errors_of_later_tables():
    fit = fit_spatiotemporal(table(), **COLUMNS)
    with pytest.raises(ValueError, match="'latitude' has 6 of 6 entries"):
        fit.features(table(latitude=np.inf))
    with pytest.raises(ValueError, match="'cases' has 1 of 6"):
        fit.target(table(cases=[1.0, 2.0, -np.inf, np.nan, 3.0, 4.0]))
    with pytest.raises(TypeError, match=r"must be a pandas\.DataFrame"):
        fit.features([[0.0, 46.0, 17.0]])
