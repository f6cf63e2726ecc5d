"""Integers that a model looks up: known to be out of range before anything is compiled."""

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from numpyro.handlers import block, seed, trace

from numpyro_bayeslayers import primitives
from numpyro_bayeslayers.infer import fit
from numpyro_bayeslayers.infer.fitting._categories import categories_of, computed_categories
from numpyro_bayeslayers.infer.fitting._data import data_of_fit, data_to_predict
from numpyro_bayeslayers.layers import (
    GaussianProcessEffectsLayer,
    InterceptLayer,
    MonotoneLayer,
    RandomEffectsLayer,
    RandomWalkLayer,
    RBFKernel,
    gaussian_link,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

Y = np.arange(8.0)


def model(store, y=None):
    return gaussian_link(InterceptLayer()("b") + RandomEffectsLayer()("s", store, 4), y)


def quiet(model, **given):
    return fit(model, y=Y, num_steps=1, progress_bar=False, **given)


def known():
    """The data of a fit, as `fit` knows it."""
    data = data_of_fit(Y, {"store": np.arange(8) % 4})
    return data.with_codes(categories_of(model, data.rows))


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (np.arange(8), r"4, 5, 6, 7 \(first in row 4\)"),
        (np.arange(8) - 2, r"-2, -1, 4, 5 \(first in row 0\)"),
        (list("abcdefgh"), r"'e', 'f', 'g', 'h' \(first in row 4\)"),
    ],
)
def test_codes_beyond_the_coefficients_are_refused_by_fit(given, got):
    message = f"`store` must hold categories from 0 to 3, .*, got {got}"
    with pytest.raises(ValueError, match=message):
        quiet(model, store=given)


def test_codes_beyond_the_coefficients_are_refused_by_predict():
    for new in ([0, 7], np.array([0.0, 7.0]), pd.Series([0, 7])):
        with pytest.raises(ValueError, match=r"`store` must .*, got 7 \(first in row 1\)"):
            data_to_predict(known(), {"store": new})
    assert data_to_predict(known(), {"store": [3]})["store"].tolist() == [3]


def test_the_schema_stored_knows_of_codes():
    schema = known().schema
    again = type(schema).from_json(schema.to_json())
    assert again == schema
    with pytest.raises(ValueError, match="`store` must hold categories from 0 to 3"):
        again.encode({"store": [4]}, without=("y",))


def test_categories_that_are_computed_are_refused_shortly():
    """They are known when the program runs: what it raises is a page long."""
    layer = RandomEffectsLayer()
    run = jax.jit(seed(lambda store: layer("s", store - 1, 4), 0))
    message = "computes categories from the rows of `store`, and some are not from 0 to 3"
    rows = {"store": np.array([1, 5]), "y": Y[:2]}
    with pytest.raises(ValueError, match=message) as error, computed_categories(rows):
        jax.block_until_ready(run(rows["store"]))
    assert len(str(error.value)) < 250
    with pytest.raises(RuntimeError, match="other"), computed_categories(rows):
        raise RuntimeError("other")


def test_all_layers_of_categories_say_what_they_look_up():
    def many(a, b, y=None):
        RandomEffectsLayer()("one", a, 5)
        RandomWalkLayer()("two", a, 4)
        MonotoneLayer()("three", b["m"], 3)
        GaussianProcessEffectsLayer(RBFKernel(), 4)("four", b["p"], 6)
        RandomEffectsLayer()("five", b["flag"], 2)

    codes = np.zeros(8, np.int32)
    rows = {"a": codes, "b": {"m": codes, "p": codes, "flag": Y > 3}, "y": Y}
    assert categories_of(many, rows) == {"a": 4, "b['m']": 3, "b['p']": 6}


def test_nothing_is_traced_without_integers():
    def refuses(**rows):
        raise AssertionError

    assert categories_of(refuses, {"x": Y, "y": Y}) == {}


def test_booleans_are_two_categories():
    layer = RandomEffectsLayer()
    found = seed(lambda x: layer("g", x, 2), 0)(np.array([True, False, True]))
    assert found[0] == found[2] != found[1]


def test_messages_of_our_own_are_in_no_trace_and_have_a_name():
    """Predicates written for sites read the name of each message."""

    def looks_up():
        primitives.categories(jax.numpy.zeros(3, int), 2)
        primitives.step()
        return RandomEffectsLayer()("g", np.zeros(3, int), 2)

    hidden = block(seed(looks_up, 0), hide_fn=lambda site: site["name"].startswith("g"))
    assert not [name for name in trace(hidden).get_trace() if name.startswith("g")]
    found = trace(seed(looks_up, 0)).get_trace()
    assert {site["type"] for site in found.values()} <= {
        "sample",
        "deterministic",
        "mutable",
    }
    with numpyro.handlers.scope(prefix="a"):
        assert "a/g.theta" in trace(seed(looks_up, 0)).get_trace()
