"""Each method of fitting, and each thing that a result gives, by numpy at the posterior draws.

The same seed and number of draws give the same posterior values in all calls. This file is also
the program that reads the fits in another process.
"""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import (
    MCMC,
    SWAG,
    VI,
    EarlyStopping,
    Ensemble,
    Laplace,
    Stein,
    fit,
    load,
)
from numpyro_bayeslayers.layers import logit_link

pytestmark = pytest.mark.usefixtures("as_users_run")

ROWS, DRAWS = 16, 120
X = np.random.default_rng(0).normal(size=(ROWS, 2))
WORDS = np.where(X[:, 0] + np.random.default_rng(1).normal(size=ROWS) > 0, "on", "off")
NEW = X[:5] + 0.5
METHODS = {
    "vi": {"method": VI(guide="full_rank"), "num_steps": 100},
    "ensemble": {"method": Ensemble(num_members=2), "num_steps": 100, "batch_size": 8},
    "mcmc": {"method": MCMC(num_warmup=60, num_samples=DRAWS, num_chains=2)},
    "stein": {"method": Stein(num_particles=40), "num_steps": 60},
    "laplace": {"method": Laplace(), "num_steps": 100},
    "swag": {"method": SWAG(every=2), "num_steps": 100, "batch_size": 8},
}
MEMBERS = {"vi": 1, "ensemble": 2, "mcmc": 2, "stein": 40, "laplace": 1, "swag": 1}


def model(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    return logit_link(x @ w, y)


@pytest.fixture(scope="module")
def fits():
    given = {"y": WORDS, "x": X, "progress_bar": False}
    return {name: fit(model, **given, **how) for name, how in METHODS.items()}


def each_draw(name):
    """How all calls are made, so that they are of one set of draws."""
    return {"num_samples": DRAWS * MEMBERS[name], "seed": 5}


def chances(name, found, x):
    """Of "on", at each draw and row, in the order of predictions: draws, then members."""
    w = np.asarray(found.draws(num_samples=DRAWS, seed=5)["w"], float)
    w = w.swapaxes(0, 1).reshape(-1, 2)
    if name == "mcmc":  # one chain after the other
        w = np.asarray(found.draws()["w"], float).reshape(-1, 2)
    return 1 / (1 + np.exp(-w @ x.T))


@pytest.mark.parametrize("name", METHODS)
def test_expected_and_probabilities(fits, name):
    found = fits[name]
    p = chances(name, found, NEW)
    curve = found.expected(x=NEW, **each_draw(name))
    np.testing.assert_allclose(curve.samples, p, atol=1e-6)
    np.testing.assert_allclose(curve.std, p.std(0), atol=1e-5)
    told = found.predict(x=NEW, **each_draw(name))
    right = np.stack([1 - p.mean(0), p.mean(0)], 1)
    np.testing.assert_allclose(told.probabilities, right, atol=1e-6)
    assert told.mode.tolist() == np.where(p.mean(0) > 0.5, "on", "off").tolist()
    assert set(np.unique(told.samples)) <= {0, 1}


@pytest.mark.parametrize("name", METHODS)
def test_log_density(fits, name):
    y = np.array(["on", "off", "off", "on", "off"])
    p = chances(name, fits[name], NEW)
    right = np.log(np.where(y == "on", p, 1 - p).mean(0))
    got = fits[name].log_density(y=y, x=NEW, **each_draw(name))
    np.testing.assert_allclose(got, right, atol=1e-5)


STOPPED = {
    "vi": VI(guide="delta", optim=0.2),
    "ensemble": Ensemble(guide="delta", optim=0.2, num_members=2),
    "stein": Stein(num_particles=5, optim=0.2),
}


@pytest.mark.parametrize("name", STOPPED)
def test_stopping_on_held_out_rows(name):
    """The best scores that were seen are those of what is kept: of points, by numpy.

    The words of the held-out rows are those of the fit turned round, so that all get worse.
    """
    turned = np.where(WORDS == "on", "off", "on")
    found = fit(
        model,
        y=WORDS,
        x=X,
        method=STOPPED[name],
        num_steps=300,
        validation={"x": X, "y": turned},
        early_stopping=EarlyStopping(patience=10, on="validation"),
        progress_bar=False,
    )
    assert found.losses.shape[1] < 300
    scores = found.validation.log_density
    w = np.asarray(found.params["w_auto_loc"], float)
    chance = 1 / (1 + np.exp(-w @ X.T * np.where(turned == "on", 1, -1)))
    chance = chance.mean(0, keepdims=True) if name == "stein" else chance
    np.testing.assert_allclose(scores.max(1), np.log(chance).mean(1), rtol=1e-5)
    assert (scores.max(1) > scores[:, -1]).all()


@pytest.mark.parametrize("name", METHODS)
def test_arviz_and_leave_one_out(fits, name):
    """By plain importance weights, which smoothed ones agree with where no row is extreme."""
    arviz = pytest.importorskip("arviz")
    tree = fits[name].to_arviz(num_samples=DRAWS, seed=5)
    w = np.asarray(tree.posterior["w"], float)
    assert w.shape[0] * w.shape[1] == (40 if name == "stein" else DRAWS * MEMBERS[name])
    logits = w @ X.T * np.where(WORDS == "on", 1, -1)
    each = -np.log1p(np.exp(-logits))
    np.testing.assert_allclose(tree.log_likelihood["obs"], each, atol=1e-5)
    np.testing.assert_array_equal(tree.observed_data["obs"], WORDS == "on")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter")
        found = arviz.loo(tree)
    weighted = -np.log(np.exp(-each).mean((0, 1))).sum()
    elpd = float(found.elpd_loo if arviz.__version__.startswith("0.") else found.elpd)
    assert abs(elpd - weighted) < 0.15


def numbers(name, found):
    """What a fit gives, by name."""
    how = each_draw(name)
    told = found.predict(x=NEW, **how)
    return {
        "expected": found.expected(x=NEW, **how).samples,
        "probabilities": told.probabilities,
        "samples": told.samples,
        "mode": told.mode,
        "log density": found.log_density(y=WORDS, x=X, **how),
        "log likelihood": found.to_arviz(num_samples=DRAWS).log_likelihood["obs"],
    }


@pytest.mark.slow
def test_another_process_gives_the_same(fits, tmp_path):
    """To the last bit."""
    pytest.importorskip("arviz")
    for name, found in fits.items():
        found.save(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-m", "tests.infer.fitting.test_matrix", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, found in fits.items():
        there, here = np.load(tmp_path / f"{name}.npz"), numbers(name, found)
        assert set(there) == set(here)
        for key, value in here.items():
            assert there[key].tobytes() == np.asarray(value).tobytes(), (name, key)


if __name__ == "__main__":
    for name in METHODS:
        path = str(Path(sys.argv[1]) / name)
        np.savez(path + ".npz", **numbers(name, load(path, model)))
