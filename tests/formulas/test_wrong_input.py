"""What is wrong in a formula or its table is an error that names the term and what to do."""

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.formulas import formula

from .tables import N, table

pytest.importorskip("formulae")

D = table()
ORDERED = pd.Categorical(D.g, categories=["a", "b", "c", "d"])

WRONG = {
    "unknown column": ("y ~ xx", {}, r"no column `xx`.*term `xx`.*Did you mean `x`"),
    "unknown column in a call": ("y ~ s(agee)", {}, r"no column `agee`.*`s\(agee\)`"),
    "unknown column of groups": ("y ~ (1 | gg)", {}, r"no column `gg`.*`\(1 \| gg\)`"),
    "unknown outcome": ("yy ~ x", {}, r"no column `yy`"),
    "unknown term": (
        "y ~ spline(x)",
        {},
        r"`spline` in the term `spline\(x\)`.*gp, hs, mo, s, te",
    ),
    "a basis without a prior": ("y ~ hsgp(x, m=5)", {}, r"`hsgp`.*gp, hs, mo, s, te"),
    "unknown function": ("y ~ np.lg(x)", {}, r"`np.lg` in the term `np.lg\(x\)`"),
    "no outcome": ("x + z", {}, r"outcome.*tilde"),
    "no formula": ("y ~ x +", {}, r"cannot be parsed"),
    "a number": ("y ~ x + 3", {}, r"number 3.*offset\(3\)"),
    "interaction of a smooth": (
        "y ~ s(x):z",
        {},
        r"`s\(x\):z`.*cannot be part of an interaction",
    ),
    "smooth in a group": ("y ~ (s(x) | g)", {}, r"`s\(x\)`.*cannot vary between groups"),
    "group taken away": ("y ~ x - (1 | g)", {}, r"cannot be subtracted"),
    "empty level": ("y ~ g", {"g": ORDERED}, r"`g` has no row with the level 'd'.*unused"),
    "one group": ("y ~ (1 | g)", {"g": ["a"] * N}, r"`g` in `\(1 \| g\)`.*two groups"),
    "collinear": ("y ~ x + z + w", {"w": D.x + 2 * D.z}, r"`w`.*collinear.*`x` and `z`"),
    "constant": ("y ~ x + w", {"w": np.ones(N)}, r"`w`.*collinear.*the intercept"),
    "missing": ("y ~ x", {"x": [np.nan, *D.x[1:]]}, r"1 missing.*`x`.*row 0.*dropna"),
    "logarithm of zero": ("y ~ np.log(w)", {"w": [*D.z[1:], 0.0]}, r"-inf in row 11"),
    "offset": (
        "count ~ offset(np.log(w))",
        {"w": [0.0, *D.z[1:]]},
        r"`offset\(np.log\(w\)\)` must be finite, got -inf in row 0",
    ),
    "trials": (
        "p(count, w) ~ x",
        {"w": [0, *D.trials[1:]], "count": D["count"] + 1},
        r"more successes than trials in row 0.*p\(successes, trials\)",
    ),
    "bounds": (
        "censored(y, lower=z, upper=w) ~ x",
        {"w": D.z - 1},
        r"lower bound that is not below its upper bound in row 0",
    ),
    "weights": ("weighted(y, w) ~ x", {"w": -np.ones(N)}, r"negative weight in row 0"),
    "words": ("g ~ x", {}, r"`g` must hold numbers.*bernoulli"),
    "spline of few values": ("y ~ s(grade)", {}, r"`s\(grade\)` cannot have k=10.*smaller"),
    "small k": ("y ~ s(x, k=2)", {}, r"`s\(x, k=2\)`.*`k` above `degree`=3, got 2"),
    "unknown setting": ("y ~ s(x, kk=2)", {}, r"`s\(x, kk=2\)`.*kk"),
    "setting without name": (
        "y ~ s(x, 10)",
        {},
        r"`10` in the term.*Settings are given by name",
    ),
    "constant in a process": (
        "y ~ gp(w)",
        {"w": np.ones(N)},
        r"`gp\(w\)`.*constant column",
    ),
    "constant in a horseshoe": ("y ~ hs(x, w)", {"w": np.ones(N)}, r"`hs\(x, w\)`.*'w'"),
    "surface of one column": (
        "y ~ te(x)",
        {},
        r"`te\(x\)` must have exactly two numeric columns.*`s\(x\)`",
    ),
    "sizes of a surface": (
        "y ~ te(x, z, k=3)",
        {},
        r"must have `k` above `degree`=3, got 3",
    ),
    "levels in no order": (
        "y ~ mo(g)",
        {},
        r"`mo\(g\)`.*\['a', 'b', 'c'\] without an order.*ordered",
    ),
    "levels by the alphabet": (
        "y ~ mo(g)",
        {"g": D.g.astype("category")},
        r"without an order",
    ),
    "two columns of levels": ("y ~ mo(grade, shop)", {}, r"one column of ordered levels"),
    "groups of numbers": (
        "y ~ s(x, k=5, by=shop)",
        {},
        r"`by=shop`.*categories, got numbers",
    ),
    "unknown level": ("h['maybe'] ~ x", {}, r"`h` has no level 'maybe'.*yes"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_a_clear_error(what):
    text, columns, message = WRONG[what]
    family = "binomial" if what == "trials" else "gaussian"
    family = "bernoulli" if "level'" in what or what == "unknown level" else family
    with pytest.raises((ValueError, TypeError), match=message):
        formula(text, D.assign(**columns), family)


PARAMETERS = {
    "no parameter": ({"nu": "~ x"}, {}, r"formula for 'nu'.*it has 'sigma'"),
    "another name": (
        {"sigma": "mu ~ x"},
        {},
        r"parameters\['sigma'\].*'sigma ~ x', got 'mu",
    ),
    "no formula": ({"sigma": 3.0}, {}, r"parameters\['sigma'\].*formula"),
    "no tilde": ({"sigma": "x"}, {}, r"'~ x' or 'sigma ~ x', got 'x'"),
    "unknown column": ({"sigma": "~ xx"}, {}, r"no column `xx`"),
    "prior of what is predicted": (
        {"sigma": "~ x"},
        {"priors": {"sigma": dist.Exponential()}},
        r"`priors`.*'sigma'.*sigma.x",
    ),
    "no dictionary": ("~ x", {}, r"`parameters`.*formulas by name"),
    "weights": (None, {"weights": np.ones(N)}, r"`weights` must be a column name"),
}


@pytest.mark.parametrize("what", PARAMETERS)
def test_wrong_formulas_of_parameters(what):
    parameters, more, message = PARAMETERS[what]
    with pytest.raises((ValueError, TypeError), match=message):
        formula("y ~ x", D, parameters=parameters, **more)


def test_a_parameter_of_several_outcomes():
    with pytest.raises(ValueError, match=r"'sigma'.*each row has 2 outcomes"):
        formula("c(y, x) ~ z", D, "mvnormal", parameters={"sigma": "~ z"})


def test_wrong_arguments():
    """The family, the name of a prior and the table are looked at too."""
    with pytest.raises(ValueError, match=r"`family`.*'gausian'.*gaussian"):
        formula("y ~ x", D, "gausian")
    with pytest.raises(ValueError, match=r"`priors`.*'sigmaa'.*Did you mean 'sigma'"):
        formula("y ~ x", D, priors={"sigmaa": dist.Exponential()})
    with pytest.raises(TypeError, match=r"`data` must be a table"):
        formula("y ~ x", 3)
    with pytest.raises(ValueError, match=r"two classes.*\['a', 'b', 'c'\]"):
        formula("g ~ x", D, "bernoulli")
    with pytest.raises(ValueError, match=r"p\(successes, trials\)"):
        formula("count ~ x", D, "binomial")
