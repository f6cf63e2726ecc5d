"""Each family by its name: the link that it is, and the outcome that it observes."""

import jax
import numpy as np
import pytest
from numpyro.handlers import seed, trace

from numpyro_bayeslayers.formulas import formula
from numpyro_bayeslayers.layers import student_t_link

from .tables import N, table

pytest.importorskip("formulae")

D = table().assign(half=lambda d: np.where(d.x > 0, d.share, 1.0))
OUTCOMES = {
    "gaussian": ("y", "Normal"),
    "student": ("y", "StudentT"),
    "lognormal": ("positive", "LogNormal"),
    "bernoulli": ("h", "BernoulliLogits"),
    "binomial": ("p(count, trials)", "LogitBinomial"),
    "beta_binomial": ("prop(count, trials)", "MeanBetaBinomial"),
    "poisson": ("count", ""),
    "negbinomial": ("count", ""),
    "zero_inflated_poisson": ("count", ""),
    "zero_inflated_negative_binomial": ("count", ""),
    "hurdle_poisson": ("count", ""),
    "hurdle_negative_binomial": ("count", ""),
    "gamma": ("positive", ""),
    "wald": ("positive", ""),
    "exponential": ("positive", ""),
    "weibull": ("positive", ""),
    "beta": ("share", ""),
    "zero_one_beta": ("half", ""),
    "ordered_beta": ("half", ""),
    "categorical": ("g", "CategoricalLogits"),
    "cumulative": ("grade", ""),
    "vonmises": ("x", ""),
    "mvnormal": ("c(y, x)", "MultivariateNormal"),
}


def sites_of(model):
    """The sites, without computing anything."""
    found = {}

    def run(key):
        found.update(trace(seed(model, key)).get_trace())

    jax.eval_shape(run, jax.random.key(0))
    return found


@pytest.mark.parametrize("family", OUTCOMES)
def test_each_family_observes_its_outcome(family):
    """One observed site, of the outcome's name; ordered classes have no intercept beside cuts."""
    outcome, law = OUTCOMES[family]
    sites = sites_of(formula(f"{outcome} ~ z + (1 | shop)", D, family))
    observed = [n for n, s in sites.items() if s.get("is_observed")]
    names = {"p(count, trials)": "count", "prop(count, trials)": "count"}
    assert observed == [names.get(outcome, outcome)]
    site = sites[observed[0]]
    assert site["value"].shape == ((N, 2) if family == "mvnormal" else (N,))
    if law:
        assert law in type(site["fn"]).__name__
    assert ("Intercept" in sites) == (family != "cumulative")


def test_a_link_is_a_family():
    sites = sites_of(formula("y ~ x", D, student_t_link))
    assert "y.sigma" in sites and type(sites["y"]["fn"]).__name__ == "StudentT"


def test_truncated_outcomes():
    """Draws keep to the bounds, so a prediction needs their columns; those of censored ones not."""
    model = formula("truncated(y, low=w) ~ x", D.assign(w=-99.0))
    assert "Truncated" in type(sites_of(model)["y"]["fn"]).__name__
    with pytest.raises(ValueError, match="column `w`"):
        model.rows({"x": [1.0]})
    censored = formula("censored(y, upper=end) ~ x", D)
    assert set(censored.rows({"x": [1.0]})) == {"data"}
