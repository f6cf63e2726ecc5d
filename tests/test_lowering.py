"""Programs lower for CUDA and TPU: what runs here has nothing that only a CPU has."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from jax import export
from numpyro.handlers import seed
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import (
    EnsembleMAP,
    EnsembleSVI,
    EnsembleVI,
    ensemble_predict,
)
from tests.cases.layers import LAYERS
from tests.infer.svi_problems import X, Y, model

PLATFORMS = ("cuda", "tpu")

#: One of each family, those with the operations that are least like others. (Layers of indices
#: raise an error while a program runs, by a callback that is lowered only where it runs.)
REPRESENTATIVES = (
    "DenseFlipout",
    "DenseHierarchical",
    "BayesianHyperLinear",
    "ConditionedINR",
    "MaternFourierFeatures",
    "RandomKitchenSinks",
    "BayesianNeuralField",
    "HSGPFeatures",
    "R2D2Layer",
    "AttentionLayer",
    "TensorSmoothLayer",
    "Lifted",
)


def lowers(fn, *args):
    """Lowered for all platforms, which needs none of them."""
    found = export.export(jax.jit(fn), platforms=PLATFORMS)(*args)
    assert found.platforms == PLATFORMS


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_layer(name):
    """A draw of its sites and what it computes of them."""
    layer, inputs = LAYERS[name].make("a"), LAYERS[name].inputs
    lowers(lambda key: seed(layer, key)(*inputs), jax.random.key(0))


EVERY_LAYER = """
from tests.cases.layers import LAYERS
from tests.test_lowering import test_layer
for name in LAYERS:
    test_layer(name)
"""


@pytest.mark.slow
def test_every_layer_lowers_where_equinox_raises_no_errors():
    """With NaN in place of errors of indices out of range, which is read at import."""
    env = {**os.environ, "EQX_ON_ERROR": "nan"}
    command = [sys.executable, "-W", "ignore", "-c", EVERY_LAYER]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-2000:]


def test_map():
    def log_joint(w, x, y):
        return -0.5 * jnp.sum((y - x @ w) ** 2), -0.5 * jnp.sum(w**2)

    start = lambda key: jax.random.normal(key, (2,))
    ensemble = EnsembleMAP(log_joint, start, optax.adam(0.1), 3)
    state = ensemble.init(0)
    lowers(ensemble.update, state, X, Y)
    lowers(lambda w, x: ensemble_predict(w, lambda w, x: x @ w, x), state.params, X)


@pytest.mark.parametrize("kind", [EnsembleSVI, EnsembleVI])
def test_variational(kind):
    """A step, and a prediction with its draws."""
    made = kind(model, AutoNormal, optax.adam(0.05))
    ensemble = made.svi if kind is EnsembleVI else made
    state = ensemble.init(0, X, Y)
    lowers(ensemble.update, state, X, Y)
    program = ensemble._programs.latest
    lowers(program.params, state)

    def predict(key, params, x):
        drawn = program.member.drawn
        return ensemble._predictor(drawn, params, key, _parts(x), 2, None, ("y",), None)

    lowers(predict, jax.random.key(1), ensemble.get_params(state), X)


def _parts(x):
    from numpyro_bayeslayers.infer.rows._arguments import take_apart

    return take_apart((x,), {})
