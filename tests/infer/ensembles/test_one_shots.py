"""The one-shots are their objects: one run, with all that a run may be asked for."""

import functools

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoDelta

from numpyro_bayeslayers.infer import (
    Checkpoint,
    EarlyStopping,
    EnsembleMAP,
    EnsembleVI,
    ensemble_map,
    ensemble_vi,
)
from tests.infer.problems import linear, linear_init, regression

pytestmark = pytest.mark.usefixtures("as_users_run")

X, TARGET = regression()
Y = jax.random.normal(jax.random.key(0), (20,)) + 0.5


def model(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", y.shape[0]):
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


HOW = {"batch_size": 7, "progress_bar": False}


def shot(kind, **asked):
    size = {"ensemble_size": 2, "num_epochs": 30, "seed": 3, "learning_rate": 0.05}
    if kind == "map":
        data = (X, TARGET)
        return ensemble_map(linear, linear_init, data=data, **size, **HOW, **asked)
    return ensemble_vi(model, AutoDelta, data=(Y,), **size, **HOW, **asked)


def runner(kind):
    """The run of the object."""
    optim = optax.adam(0.05)
    if kind == "map":
        ensemble = EnsembleMAP(linear, linear_init, optim, 2)
        return functools.partial(ensemble.run, 3, 30, X, TARGET, **HOW)
    ensemble = EnsembleVI(model, AutoDelta, optim, 2)
    return functools.partial(ensemble.run, 3, 30, Y, **HOW)


STARTS = {
    "map": np.array([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]]),
    "vi": {"mean": np.array([3.0, -3.0])},
}


@pytest.mark.parametrize("kind", STARTS)
def test_a_run_is_asked_for_the_same(kind, tmp_path):
    """To the last bit; it takes up a run of the object that was interrupted."""
    asked = {
        "validation": 0.3,
        "init": STARTS[kind],
        "early_stopping": EarlyStopping(patience=8, min_delta=1e3, on="validation"),
    }
    run, path, seen = runner(kind), Checkpoint(tmp_path / "f", every=3), []
    whole = run(**asked)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path, callbacks=fail, **asked)
    params, losses = shot(kind, checkpoint=path, callbacks=seen.append, **asked)
    assert seen[0].step > 3 and losses.shape[1] < 30
    np.testing.assert_array_equal(losses, whole.losses)
    jax.tree.map(np.testing.assert_array_equal, params, whole.params)
    scores = seen[-1].validation.log_density
    np.testing.assert_array_equal(scores, whole.validation.log_density)


def fail(progress):
    if progress.step >= 5:
        raise KeyboardInterrupt


def test_the_mean_of_a_conjugate_problem():
    params, losses = ensemble_vi(
        model, AutoDelta, ensemble_size=3, num_epochs=300, data=(Y,), seed=0,
        learning_rate=0.05, progress_bar=False,
    )  # fmt: skip
    np.testing.assert_allclose(params["mean_auto_loc"], Y.sum() / 21, rtol=1e-3)
    assert losses.shape == (3, 300)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            {"kl_weight": 0.0},
            ValueError,
            "`kl_weight` must be positive and finite, got 0.0",
        ),
        ({"num_particles": 0}, ValueError, "`num_particles` must be a positive integer"),
        ({"ensemble_size": 0}, ValueError, "`ensemble_size` must be a positive integer"),
        (
            {"learning_rate": -1.0},
            ValueError,
            "`learning_rate` must be positive and finite",
        ),
        (
            {"data": 3},
            TypeError,
            "`data` must be the tuple of the model's positional arguments, got int",
        ),
    ],
)
def test_refuses(change, error, match):
    options = {"ensemble_size": 2, "num_epochs": 3, "data": (Y,), "seed": 0} | change
    with pytest.raises(error, match=match):
        ensemble_vi(model, AutoDelta, progress_bar=False, **options)
