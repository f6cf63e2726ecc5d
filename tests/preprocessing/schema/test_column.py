"""Columns as people have them: numbers keep their value, words their meaning."""

import datetime
import decimal
import warnings

import jax
import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.preprocessing import fit_schema, levels_of

pytestmark = pytest.mark.usefixtures("as_users_run")


def read(values, name="x"):
    return fit_schema({name: values}).rows[name]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        np.array([1, 2, 3], ">i8"),
        np.array([1, 2, 3], ">f4"),
        np.array([1, 2, 3], np.longdouble),
        np.array([1, 2, 3], np.uint64),
        np.ma.masked_array([1, 2, 3], [False] * 3),
        pd.array([1, 2, 3], "Int64"),
        pd.Series([1, 2, 3], dtype=object),
        pd.Series([1, 2, 3], dtype="Sparse[int]"),
        pd.Index([1, 2, 3]),
        [decimal.Decimal(1), 2, 3.0],
        np.array([1, 2, 3], object),
    ],
)
def test_numbers_of_all_kinds(values):
    found = jax.numpy.asarray(read(values))
    assert found.tolist() == [1, 2, 3] and found.dtype.kind in "iuf"


@pytest.mark.parametrize("dtype", ["int64", "uint64", object])
def test_whole_numbers_that_do_not_fit_become_floating_point(dtype):
    people = np.array([1_000, 5_000_000_000, 8_000_000_000], dtype)
    for values in (people, pd.Series(people), pd.DataFrame({"a": people, "b": [1, 2, 3]})):
        found = jax.numpy.asarray(read(values)).reshape(3, -1)[:, 0]
        np.testing.assert_allclose(found, people.astype(float), rtol=1e-6)
    assert read(np.array([2**31 - 1, 0])).dtype == np.int64  # fits
    assert read([2**70, 0, 1]).tolist() == [2.0**70, 0, 1]
    schema = fit_schema({"x": people}).schema
    assert schema.encode({"x": np.array([7])})["x"].dtype == float
    with jax.enable_x64(True):
        assert read(people).dtype.kind == ("u" if dtype == "uint64" else "i")


def test_a_word_where_single_precision_is_too_coarse():
    """Milliseconds since 1970 over a minute: steps of two minutes."""
    start = 1_700_000_000_000
    times = start + np.arange(0, 60_000, 100)
    for values in (times, times.astype(float), pd.DataFrame({"t": times, "x": 1.0})):
        label = "x" if isinstance(values, np.ndarray) else r"x\['t'\]"
        with pytest.warns(
            UserWarning, match=f"`{label}` ranges from .* resolution of 131072"
        ):
            read(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(times - start)
        read(np.full(3, float(start)))
        read(np.linspace(1990.0, 2020.0, 50))
        with jax.enable_x64(True):
            read(times)


@pytest.mark.parametrize("value", [1e39, 1e-40, -1e300])
def test_numbers_beyond_single_precision_are_refused(value):
    with pytest.raises(ValueError, match=r"`x` holds .* the limit of JAX's float32 is"):
        read(np.array([value, 0.0]))
    with pytest.raises(ValueError, match=r"`x` holds .* the limit of JAX's float32 is"):
        read(np.full((3, 2), value))
    with jax.enable_x64(True):
        assert read(np.array([value, 0.0]))[0] == value


NOW = datetime.datetime(2024, 1, 1)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["2024-01-01"], "M8[D]"),
        np.array([3], "m8[s]"),
        pd.Series([pd.Timestamp(NOW)]),
        pd.Series([pd.Timestamp(NOW, tz="UTC")]),
        pd.Series([pd.Period("2024-01", "M")]),
        [NOW],
        [NOW.date()],
        [None, NOW.date()],
    ],
)
def test_dates_are_no_numbers_and_no_categories(values):
    with pytest.raises(TypeError, match=r"`x` holds dates .*encode_time_column"):
        read(values)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["a", 1.5, "b"], TypeError, r"row 0 has 'a' \(str\), row 1 has 1.5 \(float\)"),
        ([1.5, "n/a"], TypeError, r"row 0 has 1.5 \(float\), row 1 has 'n/a'"),
        (np.array([True, 2], object), TypeError, "row 0 has True"),
        (["1", "2"], TypeError, "`x` holds numbers as strings, such as '1'"),
        (np.array([b"a"]), TypeError, "got bytes"),
        ([[1, 2], [3]], ValueError, "`x` must have rows of equal length"),
        (np.array([{}, {}]), TypeError, "must hold numbers or strings, got dict"),
        (pd.Series([pd.Interval(0, 1)]), TypeError, "must hold numbers or strings|dates"),
        ([1.0, None], ValueError, "`x` has 1 .*entries.*row 1"),
        ([None, None], ValueError, "`x` has 2 entries"),
        (["a", None], ValueError, r"`x` has 1 missing entries \(first in row 1\)"),
        (pd.array([1, None], "Int64"), ValueError, "`x` has 1 .*entries.*row 1"),
        (pd.Categorical(["a", None]), ValueError, "`x` has 1 missing entries"),
        (
            np.ma.masked_array([1, 2], [0, 1]),
            ValueError,
            "`x` has 1 .*entries.*row 1",
        ),
        (
            np.ma.masked_array([1.0, 2.0], [1, 0]),
            ValueError,
            "`x` has 1 .*entries.*row 0",
        ),
        (pd.Categorical([1, "1"]), None, ""),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            ValueError,
            "duplicate columns, got a",
        ),
        (pd.DataFrame(index=[1, 2]), ValueError, "at least one column"),
        (np.zeros((0, 2)), ValueError, "`x` must have at least one row"),
        (3.0, ValueError, "`x` must have a row axis, got 3.0"),
        ("word", ValueError, "`x` must have a row axis, got 'word'"),
    ],
)
def test_what_is_no_column(values, kind, message):
    if kind is None:
        assert fit_schema({"x": values}).schema.levels == {"x": (1, "1")}
        return
    with pytest.raises(kind, match=message):
        read(values)


def test_sparse_matrices_are_refused():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(
        TypeError, match=r"`x` must be an array or a table, got scipy\.sparse"
    ):
        fit_schema({"y": np.zeros(3), "x": scipy_sparse.eye_array(3)})


def test_words_that_are_numbers_can_be_declared_categories():
    codes = ["0150", "4001", "0150"]
    schema, rows, _ = fit_schema({"x": pd.Categorical(codes)})
    assert rows["x"].tolist() == [0, 1, 0]
    assert schema.encode({"x": ["4001"]})["x"].tolist() == [1]


def test_structured_arrays_are_tables():
    values = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f8")])
    schema, rows, _ = fit_schema({"x": values})
    assert rows["x"].tolist() == [[1, 2], [3, 4]]
    assert schema.encode({"x": values[["b", "a"]]})["x"].tolist() == [[1, 2], [3, 4]]


def test_pairs_of_words_share_their_levels():
    games = np.array([["rome", "oslo"], ["bern", "rome"]])
    schema, rows, _ = fit_schema({"x": games})
    assert schema.levels == {"x": ("bern", "oslo", "rome")}
    assert rows["x"].tolist() == [[2, 1], [0, 2]]


def test_levels_of():
    assert levels_of(["b", "a", "b"]) == ("a", "b")
    assert levels_of(pd.Categorical(["b"], categories=["b", "a"])) == ("b", "a")
    assert levels_of(np.array([True, True])) == (False, True)
    table = pd.DataFrame({"town": ["oslo"], "age": [3.0], "flag": [True]})
    expected = {"town": ("oslo",), "flag": (False, True)}
    assert levels_of(table) == expected
    assert levels_of({name: table[name] for name in table}) == expected
    with pytest.raises(TypeError, match="`data` must hold categories, got numbers"):
        levels_of(np.arange(3))
    with pytest.raises(TypeError, match="`data` must be a column or a table"):
        levels_of(3)
    with pytest.raises(TypeError, match=r"`data\['d'\]` holds dates"):
        levels_of({"d": [NOW]})


def test_no_error_is_taken_for_a_missing_entry():
    """A word that Python reads as a number is a word among others."""
    assert levels_of(["nan", "inf", "low"]) == ("inf", "low", "nan")
