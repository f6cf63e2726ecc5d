"""Terms with levels, and predicted parameters, in tables that were not fitted."""

import functools

import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.basis import bspline_basis, make_knots
from numpyro_bayeslayers.formulas import fit_formula, formula
from numpyro_bayeslayers.infer import VI

from .tables import table

pytest.importorskip("formulae")
pytestmark = pytest.mark.usefixtures("as_users_run")

LEVELS = ["low", "middle", "high"]
D = table().assign(grade=lambda d: pd.Categorical.from_codes(d.grade, LEVELS, ordered=True))
TEXT = "y ~ mo(grade) + s(x, by=g, k=5)"
NEW = pd.DataFrame(
    {"grade": ["high", "low"], "g": ["c", "a"], "x": [0.3, -0.2], "z": [1.0, 2.0]}
)


@functools.cache
def fitted():
    options = {"method": VI(guide="delta"), "num_steps": 1, "progress_bar": False}
    return fit_formula(TEXT, D, parameters={"sigma": "~ z"}, **options)


@pytest.mark.slow
def test_levels_keep_their_effects_and_rows_their_noise():
    """The prediction by hand of the one draw that a point has; words stand in other orders."""
    found = fitted()
    v = {n: np.asarray(x[0, 0]) for n, x in found.draws(num_samples=1).items()}
    heights = np.concatenate([[0.0], 2 * np.cumsum(v["mo(grade).zeta"][0])])
    x = D.x.to_numpy()
    basis = np.asarray(bspline_basis(NEW.x.to_numpy(), make_knots(x, 1, 3), 3))
    smooth = (basis @ v["s(x, by=g, k=5).theta"])[[0, 1], [2, 0]]
    mean = v["Intercept"] + v["mo(grade).beta"][0, 0] * heights[[2, 0]] + smooth
    np.testing.assert_allclose(
        found.expected(data=NEW, num_samples=1).mean, mean, rtol=1e-4
    )
    deviation = np.exp(v["sigma.Intercept"] + v["sigma.z.beta"][0, 0] * NEW.z.to_numpy())
    drawn = found.predict(data=NEW, num_samples=4000).samples
    # 4,000 draws: 5% is over four of their standard errors.
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.05)


def test_unknown_levels_and_missing_columns_are_refused():
    found = fitted()
    with pytest.raises(ValueError, match=r"best"):
        found.predict(data=NEW.assign(grade=["best", "low"]))
    with pytest.raises(ValueError, match=r"'z'"):
        found.predict(data=NEW.assign(g=["z", "a"]))
    with pytest.raises(ValueError, match=r"must have the column `z`"):
        found.predict(data=NEW.drop(columns="z"))


def test_the_terms_have_names_for_priors():
    """Those of a parameter begin with its name."""
    terms = formula(TEXT, D, parameters={"sigma": "~ z"}).terms
    own = ("Intercept", "mo(grade)", "s(x, by=g, k=5)", "sigma.Intercept", "sigma.z")
    assert terms == own
