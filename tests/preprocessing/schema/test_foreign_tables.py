"""Tables of other libraries, through narwhals."""

import sys

import numpy as np
import pytest

from numpyro_bayeslayers.preprocessing import fit_schema, levels_of

polars = pytest.importorskip("polars")

pytestmark = pytest.mark.usefixtures("as_users_run")

Y = np.arange(3.0)


def test_tables_and_columns_of_polars():
    x = polars.DataFrame({"age": [1, 2, 3], "dose": [0.5, 1.0, 1.5]})
    town = polars.Series(["rome", "oslo", "rome"])
    data = {"y": polars.Series(Y), "x": x, "town": town}
    schema, rows, _ = fit_schema(data)
    assert rows["y"].tolist() == [0, 1, 2]
    assert rows["x"].tolist() == [[1, 0.5], [2, 1], [3, 1.5]]
    assert rows["town"].tolist() == [1, 0, 1]
    later = schema.encode({"x": x[["dose", "age"]], "town": town}, without=("y",))
    assert later["x"].tolist() == rows["x"].tolist()


def test_categories_of_polars():
    words = ["m", "s", "m"]
    enum = polars.Series(words, dtype=polars.Enum(["s", "m", "l"]))
    assert levels_of(enum) == ("s", "m", "l")
    assert fit_schema({"x": enum}).rows["x"].tolist() == [1, 0, 1]
    assert levels_of(polars.Series(words, dtype=polars.Categorical)) == ("m", "s")
    codes = polars.Series(["10", "2"], dtype=polars.Categorical)
    assert levels_of(codes) == ("10", "2")
    table = polars.DataFrame({"size": enum, "x": Y})
    assert levels_of(table) == {"size": ("s", "m", "l")}


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (polars.Series([1, None, 3]), ValueError, "`x` has 1 .*entries.*row 1"),
        (
            polars.Series(["a", None, "b"]),
            ValueError,
            "`x` has 1 .*entries.*row 1",
        ),
        (polars.DataFrame({"a": [1, None, 2]}), ValueError, r"`x\['a'\]` has 1 .*row 1"),
        (polars.Series([1, 2, 3]).cast(polars.Date), TypeError, "`x` holds dates"),
        (polars.DataFrame({"a": [1, 2, 3]}).lazy(), TypeError, "`x` is polars.*Collect"),
        (polars.Series([[1], [2], [3]]), TypeError, "must hold numbers or strings"),
    ],
)
def test_what_is_refused(values, kind, message):
    with pytest.raises(kind, match=message):
        fit_schema({"y": Y, "x": values})


def test_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals", None)
    x = polars.DataFrame({"a": [1, 2, 3]})
    with pytest.raises(
        ImportError, match=r"`x` is a table of polars.*bayeslayers\[tables\]"
    ):
        fit_schema({"y": Y, "x": x})
