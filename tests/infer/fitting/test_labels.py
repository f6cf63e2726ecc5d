"""Lines of a summary are called by columns and levels; bases of computed sites are left out."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.handlers import mixed_precision
from numpyro_bayeslayers.infer import MCMC, autoreparam, fit
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    EmbeddingLayer,
    FixedPriorLayer,
    HorseshoeLayer,
    InterceptLayer,
    RandomEffectsLayer,
    gaussian_link,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

ROWS = 12
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(RNG.normal(size=(ROWS, 3)), columns=["age", "dose", "height"])
TOWN = pd.Series(["rome", "bern", "oslo", "lima"] * 3)
Y = RNG.normal(size=ROWS)
COLUMNS, TOWNS = list(TABLE), sorted(set(TOWN))

quiet = functools.partial(fit, progress_bar=False, num_steps=1)


def lines(model, **data):
    return list(quiet(model, y=Y, **data).summary(num_samples=2).index)


def named(site, words):
    return [f"{site}[{word}]" for word in words]


def model(x, town, y=None):
    mu = InterceptLayer()("b") + AdaptiveLayer()("slopes", x)
    return gaussian_link(mu + RandomEffectsLayer()("town", town, 4), y)


def test_columns_and_levels():
    found = lines(model, x=TABLE, town=TOWN)
    others = {"b.beta[0,0]", "slopes.scale[0]", "town.scale", "obs.sigma"}
    slopes, effects = named("slopes.beta", COLUMNS), named("town.theta", TOWNS)
    assert set(found) == {*slopes, *effects, *others}
    assert [n for n in found if n in slopes] == slopes
    assert [n for n in found if n in effects] == effects


def test_columns_and_levels_of_products_in_half_precision():
    slopes = lambda x, y=None: gaussian_link(FixedPriorLayer()("s", x), y, scale=0.1)
    assert lines(mixed_precision(slopes), x=TABLE) == named("s.beta", COLUMNS)


def test_each_line_has_the_values_of_its_name():
    """The columns, in whatever order: a slope of its own for each, by a fit of points."""
    data = TABLE.assign(dose=0.0, height=0.0)
    exact = lambda x, y=None: gaussian_link(FixedPriorLayer()("s", x), y, scale=0.1)
    found = fit(exact, y=3 * data["age"], x=data, num_steps=600, progress_bar=False)
    means = found.summary(num_samples=50)["mean"]
    assert abs(means["s.beta[age]"] - 3) < 0.3
    draws = np.asarray(found.draws(num_samples=50)["s.beta"])
    np.testing.assert_allclose(means["s.beta[dose]"], draws[..., 1, 0].mean(), rtol=1e-5)


@pytest.mark.slow
def test_what_the_model_makes_of_columns():
    """Standardized ones are the same columns; moved, mixed or chosen ones are not."""

    def many(x, y=None):
        kept = (x - x.mean(0)) / x.std(0)
        terms = {
            "kept": FixedPriorLayer()("kept", kept),
            "logs": HorseshoeLayer()("logs", np.e + 0 * x + x),
            "wide": FixedPriorLayer()("wide", x, units=2)[:, :1],
            "moved": FixedPriorLayer()("moved", x[:, ::-1]),
            "mixed": FixedPriorLayer()("mixed", x @ np.ones((3, 3))),
            "rows": FixedPriorLayer()("rows", x * x[:, :1]),
        }
        return gaussian_link(sum(terms.values()), y, scale=1.0)

    found = lines(many, x=TABLE)
    numbers = ["0,0", "1,0", "2,0"]
    assert [n for n in found if n.startswith("kept")] == named("kept.beta", COLUMNS)
    assert set(named("logs.beta", COLUMNS)) < set(found)
    wide = [f"{name},{unit}" for name in COLUMNS for unit in (0, 1)]
    assert [n for n in found if n.startswith("wide")] == named("wide.beta", wide)
    for name in ("moved", "mixed", "rows"):
        assert [n for n in found if n.startswith(name)] == named(f"{name}.beta", numbers)


def test_embeddings_and_arrays():
    def embedded(town, x, y=None):
        first = EmbeddingLayer()("e", town, 4, 2)[:, 0]
        return gaussian_link(first + FixedPriorLayer()("s", x)[:, 0], y, scale=1.0)

    found = lines(embedded, town=TOWN, x=TABLE.to_numpy())
    theta = [f"{town},{entry}" for town in TOWNS for entry in (0, 1)]
    assert [n for n in found if n.startswith("e.theta")] == named("e.theta", theta)
    assert "s.beta[0,0]" in found


def test_bases_are_left_out():
    @autoreparam
    def own(x, y=None):
        effect = numpyro.sample("effect", dist.Normal(3.0, 2.0))
        return gaussian_link(effect + AdaptiveLayer()("s", x), y, scale=1.0)

    method = MCMC(num_warmup=2, num_samples=5, num_chains=1)
    chains = fit(own, y=Y, x=TABLE, method=method, progress_bar=False)
    guided = quiet(own, y=Y, x=TABLE)
    for found in (guided, chains):
        short = found.draws(num_samples=2)
        assert set(short) == {"effect", "s.scale", "s.beta"}
        whole = found.draws(num_samples=2, all=True)
        assert set(whole) - set(short) == {"effect_decentered", "s.beta_base"}
        for name, value in short.items():
            np.testing.assert_array_equal(value, whole[name])
    every = guided.summary(num_samples=2, all=True).index
    assert set(named("s.beta_base", COLUMNS)) < set(every)
    with pytest.raises(TypeError, match="`all` must be True or False"):
        chains.draws(all="yes")
