"""What is handed to `fit` in a wrong form is an error at once, which names it."""

import array
import decimal
import warnings

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.infer import fit
from numpyro_bayeslayers.infer.fitting._data import data_of_fit
from numpyro_bayeslayers.infer.fitting._words import warn_counted_words
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    EmbeddingLayer,
    RandomEffectsLayer,
    gaussian_link,
    logit_link,
    poisson_link,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

N = 12
X, Y, WORDS = np.linspace(-1, 1, N), np.arange(float(N)), np.array(["a", "b", "c"] * 4)
LATER = pd.Series(X, index=range(1, N + 1))


def line(x, y=None):
    gaussian_link(AdaptiveLayer()("s", x), y)


def effects(g, y=None):
    gaussian_link(RandomEffectsLayer()("g", g, 3), y)


def of(link):
    return lambda x, y=None: link(AdaptiveLayer()("s", x), y)


def needs(name):
    """A line whose rows have this name."""
    scope = {"line": line}
    exec(f"def model({name}, y=None): line({name}, y)", scope)
    return scope["model"]


class Ignores:
    def __call__(self, x, y=None):
        numpyro.sample("z", dist.Normal(0, 1))


WRONG = {
    "a generator": (
        line,
        {"x": (v for v in X)},
        TypeError,
        "`x` must be an array.*got gen",
    ),
    "a map": (line, {"x": map(float, X)}, TypeError, "`x` must be an array.*got map"),
    "values": (
        line,
        {"x": dict(enumerate(X)).values()},
        TypeError,
        "`x` must.*dict_values",
    ),
    "a set": (line, {"x": set(X)}, TypeError, "`x` must be an array.*got set"),
    "ragged": (
        line,
        {"x": [[1.0]] * 11 + [[1.0, 2.0]]},
        ValueError,
        "rows of equal length",
    ),
    "y is one number": (line, {"x": X, "y": 3.0}, ValueError, "`y` must have a row axis"),
    "y has two columns": (
        line,
        {"x": X, "y": np.ones((N, 2))},
        ValueError,
        "`y` has 2 outputs",
    ),
    "y is complex": (line, {"x": X, "y": Y + 0j}, TypeError, "`y` must hold real numbers"),
    "y has a complex": (line, {"x": X, "y": [1j] * N}, TypeError, "`y` must hold real n"),
    "x is complex": (line, {"x": X * 1j}, TypeError, "`x` must hold real numbers"),
    "numbers as words": (line, {"x": list(map(str, X))}, TypeError, "numbers as strings"),
    "both": (
        line,
        {"x": np.array([1.0, "a"] * 6, object)},
        TypeError,
        "entries of one type",
    ),
    "nothing": (line, {"x": [None] * N}, ValueError, "`x` has 12 entries that are NaN"),
    "NaN": (line, {"x": np.where(X > 0.9, np.nan, X)}, ValueError, r"1 entries.*row 11"),
    "infinite": (line, {"x": np.where(X > 0.9, np.inf, X)}, ValueError, r"1 entr.*row 11"),
    "masked": (line, {"x": np.ma.masked_array(X, X > 0.9)}, ValueError, r"1 entr.*row 11"),
    "y is masked": (
        line,
        {"x": X, "y": np.ma.masked_array(Y, Y > 10)},
        ValueError,
        r"`y` has 1 entries.*missing='drop'",
    ),
    "Int64 with gaps": (
        line,
        {"x": pd.array([None] + [1] * 11, "Int64")},
        ValueError,
        "1 ent",
    ),
    "words with gaps": (
        effects,
        {"g": pd.array([None, *WORDS[1:]], "string")},
        ValueError,
        "`g` has 1 missing entries",
    ),
    "dates in a zone": (
        line,
        {"x": pd.date_range("2020", periods=N, tz="Europe/Paris")},
        TypeError,
        "`x` holds dates",
    ),
    "codes from -1": (
        effects,
        {"g": np.arange(N) % 3 - 1},
        ValueError,
        "from 0 to 2.*got -1",
    ),
    "codes with fractions": (effects, {"g": X}, TypeError, "integers from 0 to 2"),
    "other rows": (line, {"x": X[:-1]}, ValueError, "`y` has 12, `x` has 11 rows"),
    "no rows": (line, {"x": X[:0], "y": Y[:0]}, ValueError, "at least one row"),
    "another index": (
        line,
        {"x": LATER, "y": pd.Series(Y)},
        ValueError,
        "different indices",
    ),
    "an index twice": (
        line,
        {"x": LATER.iloc[::-1], "y": pd.Series(Y, index=[1, *LATER.index[:-1]])},
        ValueError,
        "the label 1 more than once",
    ),
    "a name twice": (
        line,
        {"x": pd.DataFrame(np.ones((N, 2)), columns=["a", "a"])},
        ValueError,
        "duplicate columns, got a twice",
    ),
    "no counts": (
        of(poisson_link),
        {"x": X, "y": Y % 2 + 0.5},
        ValueError,
        "support of Poisson",
    ),
    "classes from 1": (of(logit_link), {"x": X, "y": 1 + Y % 2}, ValueError, "from 0"),
    "y is not observed": (Ignores(), {"x": X}, ValueError, "`model` must observe `y`"),
    "an option of fit": (
        needs("seed"),
        {"seed": X},
        ValueError,
        "must not need an argument `seed`",
    ),
    "an option of predict": (
        needs("site"),
        {"site": X},
        ValueError,
        "`site` cannot hold rows",
    ),
}


@pytest.mark.parametrize(("model", "data", "error", "words"), WRONG.values(), ids=WRONG)
def test_what_is_refused(model, data, error, words):
    with pytest.raises(error, match=words):
        fit(model, **{"y": Y} | data, num_steps=2, progress_bar=False)


RIGHT = {
    "list": list(X),
    "tuple": tuple(X),
    "nullable": pd.array(X, "Float64"),
    "half precision": X.astype(np.float16),
    "long": X.astype(np.longdouble),
    "other byte order": X.astype(">f8"),
    "objects": X.astype(object),
    "decimals": [decimal.Decimal(str(v)) for v in X],
    "array of Python": array.array("d", X),
    "sparse column": pd.arrays.SparseArray(X),
    "no mask": np.ma.masked_array(X, X > 9),
    "numbers of JAX": [jnp.float32(v) for v in X],
}


@pytest.mark.parametrize("values", RIGHT.values(), ids=RIGHT)
def test_what_is_the_same(values):
    found = data_of_fit(Y, {"x": values})
    x = np.asarray(found.rows["x"] if "x" in found.rows else found.constants["x"], float)
    np.testing.assert_allclose(
        x, X, rtol=1e-3 if values is RIGHT["half precision"] else 1e-6
    )


def told(model, **data):
    """What is said of words that are counted with."""
    known = data_of_fit(Y, data)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warn_counted_words(model, known.rows, known.schema, stacklevel=1)
    return [str(w.message) for w in said]


def test_words_that_are_counted_with_are_told():
    """By a layer, by hand, in a table of words, and behind a cut; not where they are looked up."""
    slope = lambda x, y=None: gaussian_link(numpyro.sample("w", dist.Normal()) * x, y)
    table = pd.DataFrame({"one": WORDS, "two": WORDS[::-1]})
    for model, x in ((line, WORDS), (slope, WORDS), (line, pd.Categorical(WORDS))):
        (words,) = told(model, x=x)
        assert (
            words.startswith("`x` holds strings")
            and "'a' is 0, 'b' is 1, 'c' is 2." in words
        )
    (words,) = told(lambda x, y=None: line(x[:, :1], y), x=table)
    assert "RandomEffectsLayer" in words


def test_words_that_are_looked_up_are_not_told():
    """Two words are no and yes; numbers, codes of one's own and `y` are as they are."""
    hot = lambda g, y=None: line(jnp.eye(3)[g], y)
    equal = lambda g, y=None: line(jnp.where(g == 1, 1.0, 0.0), y)
    embedded = lambda g, y=None: gaussian_link(EmbeddingLayer()("e", g, 3, 1), y)
    for model in (effects, hot, equal, embedded):
        assert told(model, g=WORDS) == []
    assert told(line, x=np.array(["no", "yes"] * 6)) == []
    assert told(line, x=np.arange(N) % 3) == []
