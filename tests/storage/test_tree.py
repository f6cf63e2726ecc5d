"""Values as JSON and arrays: what comes back is what went in, of the same kinds."""

import enum
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers._storage import (
    NotDataError,
    pack,
    pack_leaves,
    unpack,
    unpack_leaves,
)

pytestmark = pytest.mark.usefixtures("as_users_run")


def again(value):
    arrays = {}
    text = json.dumps(pack("value", value, arrays), allow_nan=False)
    return unpack(json.loads(text), arrays)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1,
        2**70,
        0.1,
        -0.0,
        float("inf"),
        float("-inf"),
        "word",
        "",
        [],
        (),
        {},
        [1, (2.5, None), {"a": [True]}],
        {"b": 1, "a": 2, 3: "x"},
        {"float": 1.0, "dict": {"list": []}},
    ],
)
def test_plain_values(value):
    found = again(value)
    assert found == value and repr(found) == repr(value)
    assert type(found) is type(value)


def test_nan():
    assert np.isnan(again(float("nan")))


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3, dtype=np.int16),
        np.float64(0.1),
        np.bool_(True),
        np.array(["a", "wörter", ""]),
        np.array("word"),
        np.array(["2024-01-01", "NaT"], "datetime64[D]"),
        np.array([], "timedelta64[s]"),
        np.zeros((2, 0, 3)),
        np.str_("word"),
        np.datetime64("2024-01-01T12"),
    ],
)
def test_arrays_of_numpy(value):
    found = again(value)
    assert type(found) is type(value)
    assert found.dtype == value.dtype and found.shape == value.shape
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize(
    "value",
    [
        jnp.ones((2, 3)),
        jnp.asarray(3, jnp.int8),
        jnp.asarray([1.5, jnp.nan], jnp.bfloat16),
        jnp.asarray(0.5),  # weak: what it is added to keeps its type
        jax.lax.full((3,), 2),
    ],
)
def test_arrays_of_jax(value):
    found = again(value)
    assert isinstance(found, jax.Array)
    assert (found.dtype, found.weak_type) == (value.dtype, value.weak_type)
    assert np.asarray(found).tobytes() == np.asarray(value).tobytes()


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_random_keys(impl):
    keys = jax.random.split(jax.random.key(3, impl=impl), 2)
    found = again(keys)
    assert found.dtype == keys.dtype and found.shape == keys.shape
    draws = [jax.vmap(jax.random.normal)(k) for k in (found, keys)]
    assert draws[0].tobytes() == draws[1].tobytes()


def test_names_of_arrays_say_where_they_stand_and_never_meet():
    arrays = {}
    packed = pack("x", {"a": {"b": np.ones(1)}, "a/b": np.zeros(2)}, arrays)
    assert list(arrays) == ["x/a/b", "x/a/b#2"]
    assert unpack(packed, arrays)["a/b"].shape == (2,)


class Color(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ({"fn": [1, len]}, "value/fn/1"),
        (jax, "value"),
        (Color.RED, "value"),
        ({(1, 2): 3}, "value, a key of it,"),
        (np.array([1, "a"], dtype=object), "value"),
        (np.ma.array([1, 2], mask=[0, 1]), "value"),
        (b"bytes", "value"),
        (eqx.nn.Linear(2, 3, key=jax.random.key(0)), "value"),
    ],
)
def test_what_is_no_data_is_refused(value, label):
    with pytest.raises(NotDataError, match="cannot be saved: its type") as found:
        pack("value", value, {})
    assert found.value.label == label


def test_a_file_names_no_other_type_of_an_array():
    with pytest.raises(ValueError, match="of the unknown type"):
        unpack({"dates": "x", "type": "O", "as": "numpy"}, {"x": np.arange(3)})


def tree(scale=1.0, width=3):
    layer = eqx.nn.Linear(2, width, key=jax.random.key(0))
    return {"layer": layer, "scale": jnp.asarray(scale), "fn": len}


def test_leaves_of_any_tree_come_back_in_the_structure_of_another():
    arrays = {}
    packed = json.loads(json.dumps(pack_leaves("tree", tree(2.0), arrays)))
    found = unpack_leaves("tree", packed, arrays, tree())
    assert eqx.tree_equal(found, tree(2.0))


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (tree(width=4), r"\['layer'\].weight has the shape \(3, 2\) there, \(4, 2\) here"),
        ({"scale": 1.0}, "that has .*, this nothing more"),
    ],
)
def test_leaves_of_another_structure_are_refused(like, message):
    arrays = {}
    packed = pack_leaves("tree", tree(), arrays)
    with pytest.raises(ValueError, match=message):
        unpack_leaves("tree", packed, arrays, like)
