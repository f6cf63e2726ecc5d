"""Later data is read as the first was: by names, kinds and levels; or refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.preprocessing import Schema, fit_schema

pytestmark = pytest.mark.usefixtures("as_users_run")

Y = np.arange(4.0)
TABLE = pd.DataFrame({"age": [1.0, 2.0, 3.0, 4.0], "dose": [5, 6, 7, 8]})
TOWNS = pd.Series(["rome", "oslo", "bern", "oslo"])


def schema_of(**data):
    return fit_schema({"y": Y, **data}).schema


def again(schema, **data):
    return schema.encode(data, without=("y",))


def test_columns_are_found_by_name_in_any_order():
    schema, rows, _ = fit_schema({"y": Y, "x": TABLE})
    expected = [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert rows["x"].tolist() == expected
    assert again(schema, x=TABLE[["dose", "age"]])["x"].tolist() == expected
    assert again(schema, x=TABLE.to_numpy())["x"].tolist() == expected
    assert again(schema, x=expected[:1])["x"].tolist() == expected[:1]


def test_rows_of_pandas_are_matched_by_their_index():
    y = pd.Series(Y, index=list("abcd"))
    x = TABLE.set_index(pd.Index(list("dcba")))
    rows = fit_schema({"y": y, "x": x, "age": x["age"]}).rows
    assert rows["y"].tolist() == Y.tolist()
    assert rows["x"].tolist() == [[4, 8], [3, 7], [2, 6], [1, 5]]
    assert rows["age"].tolist() == [4, 3, 2, 1]
    # Equal indices need not be unique, and what has none stands as it stands.
    same = pd.Index(list("aabb"))
    rows = fit_schema({"y": y.set_axis(same), "x": TABLE.set_index(same), "z": Y}).rows
    assert rows["x"][:, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("index", "more", "what"),
    [
        ([3, 2, 1, 9], {}, r"`y` has the label 0, `x` has not"),
        ([0, 1, 1, 2], {}, r"`x` has the label 1 more than once"),
        ([1, 0, 2, 3], {"z": Y}, r"`z` has no index"),
    ],
)
def test_indices_that_do_not_match_are_refused(index, more, what):
    with pytest.raises(ValueError, match=rf"`y` and `x` have different indices: .*{what}"):
        fit_schema({"y": pd.Series(Y), "x": TABLE.set_axis(index), **more})


def test_an_order_is_refused_beside_an_outcome_without_index():
    data = {"y": Y, "x": TABLE, "z": TABLE["age"].sort_values(ascending=False)}
    with pytest.raises(ValueError, match=r"`x` and `z` have different .* `y` has no index"):
        fit_schema(data)


def test_categories_keep_their_levels():
    schema, rows, _ = fit_schema({"y": Y, "town": TOWNS})
    assert schema.levels == {"town": ("bern", "oslo", "rome")}
    assert rows["town"].tolist() == [2, 1, 0, 1] and rows["town"].dtype == np.int32
    for kind in (str, object, "category"):
        assert again(schema, town=TOWNS[2:].astype(kind))["town"].tolist() == [0, 1]
    assert again(schema, town=np.array(["rome"]))["town"].tolist() == [2]
    other = pd.Categorical(["rome"], categories=["rome", "oslo"])
    assert again(schema, town=other)["town"].tolist() == [2]


def test_a_categorical_has_its_own_order_and_all_its_levels():
    sizes = pd.Categorical(["s", "l", "s", "l"], categories=["s", "m", "l"], ordered=True)
    for column in (sizes, pd.Series(sizes), pd.CategoricalIndex(sizes)):
        schema, rows, _ = fit_schema({"y": Y, "size": column})
        assert schema.levels["size"] == ("s", "m", "l")
        assert rows["size"].tolist() == [0, 2, 0, 2]
        assert again(schema, size=["m"])["size"].tolist() == [1]
    numbers = schema_of(code=pd.Categorical([30, 10, 20, 10]))
    assert numbers.levels["code"] == (10, 20, 30)
    assert again(numbers, code=[10, 30])["code"].tolist() == [0, 2]
    assert again(numbers, code=np.array([[20.0]]))["code"].tolist() == [1]
    cut = pd.cut(Y, [-1, 1, 5])
    assert schema_of(bin=cut).levels["bin"] == ("(-1, 1]", "(1, 5]")


def test_booleans():
    schema, rows, _ = fit_schema(
        {"y": Y, "a": Y > 1, "b": np.array([True, False] * 2, object)}
    )
    assert rows["a"].dtype == bool and rows["b"].tolist() == [1, 0, 1, 0]
    assert schema.levels == {"b": (False, True)}
    found = again(schema, a=[0.0, 1.0], b=[True, False])
    assert found["a"].tolist() == [False, True] and found["a"].dtype == bool
    assert found["b"].tolist() == [1, 0]
    with pytest.raises(TypeError, match=r"`a` held booleans in .*, and holds numbers now"):
        again(schema, a=[0.5, 1.0], b=[True, False])


def test_a_table_of_categories_alone_becomes_codes():
    table = pd.DataFrame({"town": TOWNS, "size": list("slsl")})
    schema, rows, _ = fit_schema({"y": Y, "x": table})
    assert rows["x"].tolist() == [[2, 1], [1, 0], [0, 1], [1, 0]]
    assert schema.levels == {
        "x['town']": ("bern", "oslo", "rome"),
        "x['size']": ("l", "s"),
    }
    with pytest.raises(
        TypeError, match=r"`x` has categorical columns \(town\) and .*\(age, dose\)"
    ):
        schema_of(x=TABLE.assign(town=TOWNS))


def test_kinds_stay():
    schema = schema_of(i=np.arange(4), f=Y, c=Y + 1j)
    found = again(
        schema, i=np.array([2.0, 1.0]), f=np.array([1, 2]), c=np.array([1.0, 2.0])
    )
    assert [found[n].dtype.kind for n in "ifc"] == ["i", "f", "c"]
    assert again(schema, i=[1.5], f=[1], c=[1])["i"].tolist() == [1.5]
    assert again(schema, i=[True], f=[True], c=[1j])["f"].tolist() == [1.0]


def test_containers_of_columns():
    data = {"a": TABLE["age"], "b": [TOWNS, np.ones((4, 2))]}
    schema, rows, _ = fit_schema({"y": Y, "x": data})
    assert rows["x"]["b"][0].tolist() == [2, 1, 0, 1] and rows["x"]["b"][1].shape == (4, 2)
    assert schema.levels == {"x['b'][0]": ("bern", "oslo", "rome")}
    later = {"b": [["oslo"], np.ones((1, 2))], "a": [3]}
    assert again(schema, x=later)["x"]["b"][0].tolist() == [1]
    with pytest.raises(
        ValueError, match=r"`x` must hold rows, those of x\['a'\], x\['b'\]"
    ):
        again(schema, x={"a": [3.0]})


def test_constants_are_no_rows_whatever_their_length():
    knots = np.arange(4.0)
    schema, rows, others = fit_schema({"y": Y, "n": 3}, constants={"knots": knots})
    assert list(rows) == ["y"] and others["knots"] is knots and others["n"] == 3
    assert schema.rows == ("y",)
    table = fit_schema({"y": Y}, constants={"k": TABLE, "words": ["a", "b"]}).constants
    assert table["k"].shape == (4, 2) and table["words"] == ["a", "b"]
    with pytest.raises(ValueError, match="`knots` must be given once"):
        fit_schema({"y": Y, "knots": knots}, constants={"knots": knots})
    with pytest.raises(TypeError, match="`k` must hold numbers, got strings"):
        fit_schema({"y": Y}, constants={"k": TOWNS})


def test_survives_as_json():
    data = {"x": TABLE, "town": TOWNS, "size": pd.Categorical([1, 2.5, 1, 1]), "n": 3}
    schema = schema_of(**data, flag=np.array([True, False] * 2, object))
    assert schema.index == "int64" and schema.num_rows == 4
    text = schema.to_json()
    assert isinstance(json.loads(text), list)
    assert Schema.from_json(text) == schema
    assert Schema.from_json(text).levels == schema.levels


def test_arrays_of_jax_stay_what_they_are():
    x, keys = jnp.ones((4, 2)), jax.random.split(jax.random.key(0), 4)
    schema, rows, _ = fit_schema({"y": Y, "x": x, "keys": keys})
    assert rows["x"] is x and rows["keys"] is keys
    assert again(schema, x=x[:2], keys=keys[:2])["keys"].shape == (2,)


LATER = {"x": TABLE, "town": TOWNS, "a": np.ones((4, 2))}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"x": TABLE[["age"]]}, ValueError, r"`x` must have the column 'dose', got age"),
        (
            {"x": TABLE.assign(w=1.0)},
            ValueError,
            r"`x` has the columns w.*`x\[\['age', 'dose'",
        ),
        (
            {"x": np.ones((4, 3))},
            ValueError,
            r"`x` must have the 2 columns age, dose, got .*3",
        ),
        (
            {"x": TABLE.assign(age=TOWNS)},
            TypeError,
            r"`x\['age'\]` held numbers in the first data",
        ),
        (
            {"x": TABLE.assign(age=[1, 2, None, 3])},
            ValueError,
            r"`x\['age'\]` has 1 .*entries.*row 2",
        ),
        (
            {"x": None},
            ValueError,
            "`x` must be given: .* had the row arguments x, town, a",
        ),
        ({"z": Y}, ValueError, "`data` must be one of"),
        (
            {"town": ["oslo", "romee", "rome", "rome"]},
            ValueError,
            "`town` has the level 'romee' .*row 1.*levels: 'bern', .* Did you mean 'rome'",
        ),
        (
            {"town": [0, 1, 1, 2]},
            TypeError,
            r"`town` held categories \('bern', .*whole numbers",
        ),
        (
            {"town": ["oslo", None, "rome", "rome"]},
            ValueError,
            "`town` has 1 .*missing .*row 1",
        ),
        (
            {"a": np.ones((4, 3))},
            ValueError,
            r"`a` must have the shape \(2,\) after the row axis",
        ),
        ({"a": TABLE}, ValueError, "`a` was an array .* table of age, dose"),
        ({"a": 3.0}, ValueError, "`a` must hold rows"),
        (
            {"a": np.ones((3, 2))},
            ValueError,
            "same number of rows, but `x` has 4, .*`a` has 3",
        ),
        (
            {"x": TABLE[:0], "town": [], "a": np.ones((0, 2))},
            ValueError,
            "at least one row",
        ),
    ],
)
def test_errors_of_later_data(change, kind, message):
    schema = schema_of(**LATER)
    given = {name: v for name, v in (LATER | change).items() if v is not None}
    with pytest.raises(kind, match=message):
        again(schema, **given)
