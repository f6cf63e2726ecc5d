"""Predictions for levels that were not in the fit, against the law of a new group."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, Stein, autoreparam, fit
from numpyro_bayeslayers.layers import (
    EmbeddingLayer,
    RandomEffectsLayer,
    RandomWalkLayer,
    gaussian_link,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
SPREAD, NOISE = 2.0, 0.5
TOWNS = ["bern", "lima", "oslo"]
TOWN = np.array(TOWNS * 4)
Y = np.array([-1.0, 0.0, 1.0] * 4)
# A scale that is known but for a thousandth, so that the law of a new group is normal.
KNOWN = {"scale_dist": dist.LogNormal(np.log(SPREAD), 1e-3)}
NEW = ["rome", "oslo", "kyiv", "rome"]
DRAWS = 4000


def effects(town, y=None, layer=RandomEffectsLayer(**KNOWN)):
    return gaussian_link(layer("town", town, len(TOWNS)), y, scale=NOISE)


def vectors(town, y=None):
    return gaussian_link(EmbeddingLayer(**KNOWN)("town", town, 3, 2)[:, 0], y, scale=NOISE)


def centered(town, y=None):
    return effects(town, y, RandomEffectsLayer(**KNOWN, centered=True))


WAYS = [
    (effects, VI()),
    (autoreparam(centered), VI(guide="full_rank")),
    pytest.param(vectors, Ensemble(num_members=2), marks=pytest.mark.slow),
    pytest.param(effects, Stein(num_particles=2), marks=pytest.mark.slow),
    pytest.param(
        centered,
        MCMC(num_warmup=100, num_samples=DRAWS, num_chains=1),
        marks=pytest.mark.slow,
    ),
]


def fit_to_towns(model, method):
    steps = {} if isinstance(method, MCMC) else {"num_steps": 300}
    return quiet(model, y=Y, town=TOWN, method=method, **steps)


@functools.cache
def fitted():
    return fit_to_towns(effects, VI())


@pytest.mark.slow
@pytest.mark.parametrize(("model", "method"), WAYS)
def test_a_new_group_is_a_draw_of_the_population(model, method):
    """Its variance is that of groups and noise; two of its rows share the group.

    Variances of 4000 draws have a relative error of 1/sqrt(2000), which is 0.022, and the
    correlations one of 0.016: five of them pass but for one in a million.
    """
    found = fit_to_towns(model, method)
    options = {"num_samples": DRAWS, "town": NEW, "new_levels": "draw"}
    draws = np.asarray(found.predict(**options).samples)
    variance = SPREAD**2 + NOISE**2
    is_new = [0, 2, 3]
    np.testing.assert_allclose(draws.var(0)[is_new], variance, rtol=0.12)
    np.testing.assert_allclose(draws.mean(0)[is_new], 0, atol=5 * (variance / DRAWS) ** 0.5)
    correlations = np.corrcoef(draws.T)
    shared = SPREAD**2 / variance
    np.testing.assert_allclose(correlations[0, 3], shared, atol=0.08)
    np.testing.assert_allclose(correlations[0, [1, 2]], 0, atol=0.08)


def test_the_others_are_as_without_new_ones():
    found = fitted()
    known = found.predict(town=TOWNS, num_samples=9).samples
    for law in ("draw", "mean"):
        same = found.predict(town=TOWNS, num_samples=9, new_levels=law).samples
        np.testing.assert_array_equal(known, same)
    mean = found.predict(town=NEW, num_samples=DRAWS, new_levels="draw").mean
    np.testing.assert_allclose(mean[1], 1, atol=0.3)


def test_the_mean_of_the_population():
    """It has the noise alone; 5 standard errors."""
    found = fitted().predict(town=NEW, num_samples=DRAWS, new_levels="mean")
    curve = fitted().expected(town=NEW, num_samples=DRAWS, new_levels="mean")
    np.testing.assert_allclose(curve.mean, found.mean, atol=5 * NOISE / DRAWS**0.5)
    draws = np.asarray(found.samples)[:, [0, 2, 3]]
    np.testing.assert_allclose(draws.std(0), NOISE, rtol=5 / np.sqrt(2 * DRAWS))
    np.testing.assert_allclose(draws.mean(0), 0, atol=5 * NOISE / DRAWS**0.5)


def test_blocks_of_rows_see_one_group():
    """The first and the last row, in two blocks, are one group in each draw."""
    options = {"num_samples": 1000, "town": NEW, "new_levels": "draw", "batch_size": 2}
    draws = np.asarray(fitted().predict(**options).samples)
    shared = SPREAD**2 / (SPREAD**2 + NOISE**2)
    np.testing.assert_allclose(np.corrcoef(draws.T)[0, 3], shared, atol=0.08)


def test_codes_are_levels_too():
    found = quiet(effects, y=Y, town=np.arange(12) % 3, num_steps=1)
    options = {"num_samples": 1000, "new_levels": "draw"}
    draws = np.asarray(found.predict(town=[7, 1, 5, 7], **options).samples)
    assert np.corrcoef(draws.T)[0, 3] > 0.8 > 0.2 > abs(np.corrcoef(draws.T)[0, 2])
    with pytest.raises(ValueError, match=r"categories from 0 to 2.*got -1"):
        found.predict(town=[0, -1], **options)


def walk(town, y=None):
    return gaussian_link(RandomWalkLayer()("town", town, 3), y)


def tabled(x, y=None):
    return effects(x[:, 0], y)


def twice(town, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([3]).to_event(1))
    return gaussian_link(RandomEffectsLayer()("town", town, 3)[:, 0] + w[town], y)


TABLE = pd.DataFrame({"a": TOWN, "b": TOWN})


@pytest.mark.parametrize(
    ("model", "data", "new", "message"),
    [
        (walk, {"town": TOWN}, {"town": NEW}, "layers whose categories are a sample of a"),
        (twice, {"town": TOWN}, {"town": NEW}, "`town` has levels that the fit had not"),
        (tabled, {"x": TABLE}, {"x": TABLE.replace("oslo", "rome")}, "`x` has levels"),
    ],
)
def test_what_has_no_population(model, data, new, message):
    found = quiet(model, y=Y, num_steps=1, **data)
    with pytest.raises(ValueError, match=message):
        found.predict(new_levels="draw", num_samples=2, **new)


def test_errors():
    found = fitted()
    with pytest.raises(ValueError, match=r"has the level 'rome' .*`new_levels`"):
        found.predict(town=NEW)
    with pytest.raises(ValueError, match="`new_levels` must be one of"):
        found.predict(town=NEW, new_levels="zero")
    with pytest.raises(ValueError, match="`town` has 1 missing entries"):
        found.predict(town=["rome", None], new_levels="draw")
