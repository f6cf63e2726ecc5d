"""What a fit of a formula predicts from new tables, how it is labelled, and what it refuses."""

import functools

import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.formulas import fit_formula, formula
from numpyro_bayeslayers.infer import VI, fit, load

from .tables import N, table

pytest.importorskip("formulae")
pytestmark = pytest.mark.usefixtures("as_users_run")

D = table()
TEXT = "y ~ scale(x) + g + (1 + x | shop)"
NEW = pd.DataFrame(
    {"shop": [104, 101], "g": ["c", "a"], "x": [5.0, -1.0]}, index=["p", "q"]
)


@functools.cache
def fitted():
    return fit_formula(TEXT, D, method=VI(guide="delta"), num_steps=1, progress_bar=False)


def expected(found, data):
    """The prediction of rows by hand, of the one draw that a point has."""
    v = {n: np.asarray(x[0, 0]) for n, x in found.draws(num_samples=1).items()}
    x = data.x.to_numpy()
    unit = (x - D.x.mean()) / D.x.std(ddof=0)
    dummies = np.stack([data.g == "b", data.g == "c"], 1)
    mean = np.stack([D.g == "b", D.g == "c"], 1).mean(0)
    theta = v["1+x|shop.theta"][data["shop"].to_numpy() - 101, :, 0]
    out = v["Intercept_centered.beta"][0, 0] + unit * v["scale(x).beta"][0, 0]
    out = out + (dummies - mean) @ v["g.beta"][:, 0]
    return out + theta[:, 0] + theta[:, 1] * x


def test_new_rows_are_coded_as_the_first():
    """Columns are found by name, levels as they were; `scale` keeps its mean and deviation."""
    found = fitted()
    mean = found.expected(data=NEW, num_samples=1).mean
    np.testing.assert_allclose(mean, expected(found, NEW), rtol=1e-4)
    both = found.expected(data=D[["x", "g", "shop"]], num_samples=1).mean
    np.testing.assert_allclose(both, expected(found, D), rtol=1e-4)


def test_intercept_is_that_of_a_row_of_zeros():
    v = {n: np.asarray(x[0, 0]) for n, x in fitted().draws(num_samples=1).items()}
    mean = np.stack([D.g == "b", D.g == "c"], 1).mean(0)
    zero = v["Intercept_centered.beta"][0, 0] - mean @ v["g.beta"][:, 0]
    np.testing.assert_allclose(v["Intercept"], zero, rtol=1e-4)


def test_lines_of_the_summary_have_the_names_of_columns_and_levels():
    lines = set(fitted().summary(num_samples=1).index)
    wanted = {
        "Intercept",
        "g.beta[b]",
        "g.beta[c]",
        "scale(x).beta[scale(x)]",
        "1+x|shop.scale[1]",
        "1+x|shop.scale[x]",
        "1+x|shop.theta[103,1]",
        "1+x|shop.theta[103,x]",
        "1+x|shop.correlation[1,x]",
        "y.sigma",
    }
    assert wanted <= lines, sorted(lines)


def test_new_levels_are_refused_or_drawn():
    """A new shop is an error by its name; its effect is zero as the population's mean."""
    found, new = fitted(), NEW.assign(shop=[104, 999])
    with pytest.raises(ValueError, match=r"data\['shop'\].*'999'.*'101'"):
        found.predict(data=new)
    mean = found.expected(data=new, num_samples=1, new_levels="mean").mean
    v = found.draws(num_samples=1)
    own = np.asarray(v["1+x|shop.theta"][0, 0])[0, :, 0]
    without = expected(found, NEW)[1] - own[0] - own[1] * NEW.x.iloc[1]
    np.testing.assert_allclose(mean[1], without, rtol=1e-4)
    with pytest.raises(ValueError, match=r"`g` has the level 'z'.*\['a', 'b', 'c'\]"):
        found.predict(data=NEW.assign(g=["z", "a"]))


def test_wrong_tables_are_refused():
    found = fitted()
    with pytest.raises(ValueError, match=r"must have the column `shop`.*it has g, x"):
        found.predict(data=NEW[["g", "x"]])
    with pytest.raises(ValueError, match=r"`data` must be a table.*`x`"):
        found.predict(x=NEW.x)
    with pytest.raises(ValueError, match=r"1 missing.*`x`"):
        found.predict(data=NEW.assign(x=[np.nan, 1.0]))


def test_a_saved_fit_predicts_the_same(tmp_path):
    found = fitted()
    found.save(tmp_path / "shops.fit")
    again = load(tmp_path / "shops.fit", formula(TEXT, D))
    one, other = (f.predict(data=NEW, num_samples=3).samples for f in (found, again))
    np.testing.assert_array_equal(one, other)


def test_other_tables_can_be_fitted():
    """`fit` takes the model as it is, or with another table, which is coded as the first."""
    model = formula("count ~ x + offset(np.log(days))", D, "poisson")
    options = {"method": VI(guide="delta"), "num_steps": 1, "progress_bar": False}
    own, other = fit(model, **options), fit(model, data=D[::-1], **options)
    new = {"x": [0.0, 0.0], "days": [1, 1000]}
    few, many = own.expected(data=new).mean
    np.testing.assert_allclose(many / few, 1000, rtol=1e-3)
    np.testing.assert_allclose(other.expected(data=new).mean[0], few, rtol=1e-3)
    assert len(D) == N


def test_classes_keep_their_words():
    """Predictions of classes have the words of the outcome; the first has the prediction zero."""
    options = {"method": VI(guide="delta"), "num_steps": 1, "progress_bar": False}
    found = fit_formula("g ~ x", D, "categorical", **options)
    predictions = found.predict(data={"x": [0.0, 1.0]}, num_samples=4)
    assert set(predictions.mode) <= {"a", "b", "c"}
    v = {n: np.asarray(x[0, 0]) for n, x in found.draws(num_samples=1).items()}
    logits = np.concatenate([[0.0], v["Intercept"] + v["x.beta"][0] * 1.0])
    wanted = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(predictions.probabilities[1], wanted, rtol=1e-4)


def test_missing_outcomes_are_left_out_if_asked():
    table = D.assign(y=D.y.where(D.x > -1))
    with pytest.raises(ValueError, match=r"missing='drop'"):
        fit_formula("y ~ x", table, method=VI(guide="delta"), num_steps=1)
    options = {"method": VI(guide="delta"), "num_steps": 1, "progress_bar": False}
    found = fit_formula("y ~ x", table, missing="drop", **options)
    assert np.isfinite(found.expected(data=table[["x"]]).mean).all()
