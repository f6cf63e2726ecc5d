"""What `fit` is asked for beside its data: held-out rows, stopping, checkpoints, callbacks."""

import functools

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from numpyro.infer import log_likelihood

from numpyro_bayeslayers.infer import (
    MCMC,
    VI,
    Checkpoint,
    EarlyStopping,
    Ensemble,
    fit,
    load,
)
from numpyro_bayeslayers.infer.fitting._programs import PROGRAMS
from numpyro_bayeslayers.infer.training._validation import share_of_rows

pytestmark = pytest.mark.usefixtures("as_users_run")

ROWS = 30
RNG = np.random.default_rng(0)
X = np.linspace(-1, 1, ROWS)
Y = 2 * X + 0.5 * RNG.normal(size=ROWS)
quiet = functools.partial(fit, progress_bar=False)
DELTA = VI(guide="delta", optim=0.1)


@pytest.fixture(autouse=True)
def nothing_kept():
    PROGRAMS.clear()
    yield
    PROGRAMS.clear()


def model(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(slope * x, 0.5), obs=y)


def exact(slopes, x, y):
    """By NumPyro, at the points where the members are."""
    densities = log_likelihood(model, {"slope": slopes}, x, y)["y"]
    return np.asarray(densities).mean(1)


@pytest.mark.parametrize("method", [DELTA, Ensemble(num_members=3, guide="delta")])
def test_a_share_is_scored_and_not_fitted(method):
    found = quiet(model, y=Y, x=X, method=method, num_steps=20, seed=4, validation=0.2)
    is_held = share_of_rows(0.2, ROWS, jax.random.key(4))
    slopes = found.params["slope_auto_loc"]
    last = exact(slopes, X[is_held], Y[is_held])
    np.testing.assert_allclose(found.validation.log_density[:, -1], last, rtol=1e-5)
    rest = quiet(model, y=Y[~is_held], x=X[~is_held], method=method, num_steps=20, seed=4)
    np.testing.assert_array_equal(found.losses, rest.losses)
    assert rest.validation is None


def test_the_last_score_is_that_of_log_density():
    """Both are means over draws of one narrow guide: to Monte Carlo error, far within 0.05."""
    new = {"x": X + 0.01, "y": Y}
    found = quiet(model, y=Y, x=X, num_steps=300, validation=new)
    score = found.validation.log_density[0, -1]
    np.testing.assert_allclose(score, found.log_density(**new).mean(), atol=0.05)


def test_stopping_gives_the_best_look():
    """Rows that are held out ask for a slope of 0.5, where the fit passes by on its way to 2."""
    new = {"x": X, "y": 0.5 * X}
    rule = EarlyStopping(patience=10, on="validation")
    found = quiet(
        model, y=Y, x=X, method=VI(guide="delta", optim=0.02), num_steps=400,
        init={"slope": 0.0}, validation=new, early_stopping=rule,
    )  # fmt: skip
    assert found.losses.shape[1] < 100
    assert abs(float(found.params["slope_auto_loc"][0]) - 0.5) < 0.1
    best = found.validation.log_density.max()
    np.testing.assert_allclose(
        exact(found.params["slope_auto_loc"], **new), best, rtol=1e-5
    )


def by_town(x, town, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("rows", len(town)):
        numpyro.sample("y", dist.Normal(slope * x[:, 0] + effect[town], 0.5), obs=y)


def test_data_that_is_held_out_is_read_as_the_fits_own():
    """Columns by name, words by level; a share has the levels of all rows."""
    towns = np.array(["bern", "lima", "oslo"])[np.arange(ROWS) % 3]
    table = pd.DataFrame({"a": X, "b": 0 * X})
    call = functools.partial(
        quiet, by_town, y=Y, x=table, town=towns, num_steps=5, method=DELTA
    )
    new = {"y": Y[:4], "x": table[["b", "a"]][:4], "town": ["oslo", "oslo", "bern", "bern"]}
    found = call(validation=new)
    same = quiet(
        by_town, y=Y, x=X[:, None], town=np.arange(ROWS) % 3, num_steps=5, method=DELTA,
        validation={"y": Y[:4], "x": X[:4, None], "town": np.array([2, 2, 0, 0])},
    )  # fmt: skip
    np.testing.assert_allclose(
        found.validation.log_density, same.validation.log_density, rtol=1e-5
    )
    assert call(validation=0.9).levels == {"town": ("bern", "lima", "oslo")}
    with pytest.raises(ValueError, match=r"In `validation`: .*rome"):
        call(validation={**new, "town": ["rome"] * 4})
    with pytest.raises(ValueError, match=r"In `validation`: `town` must be given"):
        call(validation={"y": Y[:4], "x": table[:4]})
    with pytest.raises(ValueError, match="`validation` must have 'y' too"):
        call(validation={"x": table, "town": towns})


def test_missing_observations_are_not_held_out():
    y = Y.copy()
    y[:20] = np.nan
    found = quiet(
        model, y=y, x=X, num_steps=5, method=DELTA, missing="drop", validation=0.2, seed=1
    )
    last = found.validation.log_density[:, -1]
    is_held = share_of_rows(0.2, ROWS, jax.random.key(1), ~np.isnan(y))
    slopes = found.params["slope_auto_loc"]
    np.testing.assert_allclose(last, exact(slopes, X[is_held], y[is_held]), rtol=1e-5)


def test_a_second_fit_compiles_nothing(compiled):
    asked = {
        "validation": 0.2,
        "early_stopping": EarlyStopping(patience=5, on="validation"),
    }
    quiet(model, y=Y, x=X, num_steps=20, **asked)
    before = len(compiled)
    quiet(model, y=Y + 1, x=X, num_steps=20, seed=2, callbacks=lambda p: None, **asked)
    assert len(compiled) == before and len(PROGRAMS) == 1


def test_a_checkpoint(tmp_path):
    """Taken up after an end, and refused to another fold."""
    call = functools.partial(
        quiet, model, x=X, num_steps=20, method=DELTA, validation=0.2,
        checkpoint=Checkpoint(tmp_path / "f", every=3),
    )  # fmt: skip
    ended = call(y=Y, callbacks=lambda p: p.step >= 7)
    whole = call(y=Y)
    plain = quiet(model, y=Y, x=X, num_steps=20, method=DELTA, validation=0.2)
    assert ended.losses.shape == (1, 7)
    np.testing.assert_array_equal(whole.losses, plain.losses)
    np.testing.assert_array_equal(whole.validation.steps, plain.validation.steps)
    np.testing.assert_array_equal(
        whole.validation.log_density, plain.validation.log_density
    )
    with pytest.raises(ValueError, match="belongs to another run"):
        call(y=Y, seed=1)
    with pytest.raises(ValueError, match="has `num_steps` 20, this run has 30"):
        call(y=Y, num_steps=30)  # its step size would be zero after 20
    with pytest.raises(ValueError, match=r"data: other values in `y`.*different paths"):
        call(y=Y + 1)


def test_scores_are_kept_with_a_fit(tmp_path):
    found = quiet(model, y=Y, x=X, num_steps=5, method=DELTA, validation=0.2)
    found.save(tmp_path / "f")
    again = load(tmp_path / "f", model)
    np.testing.assert_array_equal(
        again.validation.log_density, found.validation.log_density
    )
    np.testing.assert_array_equal(again.validation.steps, found.validation.steps)
    assert again.predict(x=X[:2], num_samples=2).samples.shape == (2, 2)


def lagged(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(slope * (x - x.mean()), 0.5), obs=y)


def test_refuses():
    with pytest.raises(ValueError, match="A fraction of the rows cannot be held out"):
        quiet(lagged, y=Y, x=X, num_steps=3, validation=0.2)
    with pytest.raises(ValueError, match="`validation` must be left out with MCMC"):
        quiet(model, y=Y, x=X, method=MCMC(), validation=0.2)
    with pytest.raises(ValueError, match="`callbacks` must be left out with MCMC"):
        quiet(model, y=Y, x=X, method=MCMC(), callbacks=print)
    with pytest.raises(TypeError, match="must be a fraction of the rows"):
        quiet(model, y=Y, x=X, num_steps=3, validation="a tenth")
    with pytest.raises(ValueError, match=r"In `validation`: .*support"):
        quiet(
            poisson,
            y=np.ones(ROWS),
            x=X,
            num_steps=3,
            validation={"x": X[:2], "y": [-1, 2]},
        )


def poisson(x, y=None):
    rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Poisson(rate), obs=y)
