"""What `fit` and `predict` take for rows, constants and categories."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.infer import fit
from numpyro_bayeslayers.layers import InterceptLayer, RandomEffectsLayer, gaussian_link

pytestmark = pytest.mark.usefixtures("as_users_run")

ROWS = 8
Y = np.arange(float(ROWS))
TOWNS = ["bern", "lima", "oslo", "rome"]


def quiet(model, steps=1, **given):
    return fit(model, num_steps=steps, progress_bar=False, **given)


def sees(found):
    """A model that notes what it is called with, and the note."""

    def model(y=None, **data):
        found.update(data)
        numpyro.sample("w", dist.Normal())
        numpyro.sample("obs", dist.Normal(np.zeros(ROWS if y is None else len(y))), obs=y)

    return model


@functools.cache
def of_towns():
    model = lambda g, y=None: gaussian_link(
        InterceptLayer()("b") + RandomEffectsLayer()("g", g, 4), y, scale=0.1
    )
    town = pd.Series([TOWNS[i] for i in [3, 1, 2, 0, 3, 1, 2, 0]])
    effect = town.map(dict(zip(TOWNS, [-1.0, 0.0, 1.0, 2.0], strict=True)))
    return quiet(model, steps=400, y=effect, g=town)


def test_words_mean_the_same_in_a_prediction():
    """The posterior of an effect is 0.07 wide; the means of 200 draws are within 0.3."""
    found = of_towns()
    assert found.levels == {"g": tuple(TOWNS)}
    for words in (["oslo", "bern", "rome"], np.array(["oslo", "bern", "rome"])):
        mean = found.predict(g=words, num_samples=200).mean
        np.testing.assert_allclose(mean, [1.0, -1.0, 2.0], atol=0.3)


def test_a_level_that_was_not_in_the_fit():
    message = (
        "`g` has the level 'lyon' .*row 1.*Known levels: 'bern', 'lima', 'oslo', 'rome'"
    )
    with pytest.raises(ValueError, match=message):
        of_towns().predict(g=["oslo", "lyon"])
    with pytest.raises(TypeError, match=r"`g` held categories .* holds whole numbers now"):
        of_towns().predict(g=[0, 1])


def test_constants_are_handed_over_whole():
    seen = {}
    model, knots = sees(seen), np.arange(float(ROWS))
    found = quiet(model, y=Y, constants={"knots": knots}, x=Y, batch_size=4)
    assert seen["knots"] is knots and seen["x"].shape == (4,)
    found.predict(x=Y, num_samples=1)
    assert seen["knots"] is knots
    with pytest.raises(ValueError, match="`knots` is a constant of this fit"):
        found.predict(x=Y, knots=knots + 1)
    with pytest.raises(ValueError, match="`x` must be given once"):
        quiet(model, y=Y, x=Y, constants={"x": Y})
    with pytest.raises(TypeError, match="`constants` must be a dictionary"):
        quiet(model, y=Y, constants=["x"])


def test_lists_are_rows_if_they_are_as_long():
    seen = {}
    found = quiet(sees(seen), y=Y.tolist(), x=list(range(ROWS)), hidden=[50, 50])
    assert seen["x"].shape == (ROWS,) and seen["hidden"] == [50, 50]
    assert found.levels == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((0, 2))}, "`x` must have at least one row"),
        ({"x": Y, "y": Y}, "`data` must be one of"),
        ({"x": np.ma.masked_array(np.zeros((8, 2)), [[0, 1]] * 8)}, "`x` has 8 entries"),
        ({"x": np.zeros((8, 3))}, "`x` must have the shape"),
    ],
)
def test_errors_of_predict(change, message):
    with pytest.raises(ValueError, match=message):
        of_columns().predict(**change)


@functools.cache
def of_columns():
    return quiet(sees({}), y=Y, x=np.zeros((8, 2)))


def test_no_rows():
    with pytest.raises(ValueError, match="`y` must have at least one row"):
        quiet(sees({}), y=[])
