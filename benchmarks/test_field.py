"""An epoch of the field estimators against the same network written by hand.

The data are as many rows as the chickenpox table of `studies/chickenpox.py` has, generated;
the field is the one that bayesnf has for it: 16 members of two hidden layers of 256 units.
The hand-written side has what the mathematics asks for and nothing else: explicit features
and layers, the joint density summed by hand, `jax.vmap`, `optax.adam` and `jax.lax.scan`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from numpyro_bayeslayers.estimators._base import _model
from numpyro_bayeslayers.estimators._guide import LOC, mean_field
from numpyro_bayeslayers.estimators._observation import OBSERVATION_MODELS, Units
from numpyro_bayeslayers.infer import EnsembleVI
from numpyro_bayeslayers.layers import BayesianNeuralField

ROWS, MEMBERS, WIDTH, DEPTH = 10_232, 16, 256, 2
SCALES = np.array([521.0, 1.0, 1.0], np.float32)
DEGREE = 5
PERIODS, HARMONICS = (4.0, 52.1775), (2, 10)
KEY = jax.random.key(0)


def data():
    """Twenty places, a measurement at each in each week."""
    rng = np.random.default_rng(0)
    week = np.arange(ROWS) % 522
    place = rng.normal(size=(20, 2))[np.arange(ROWS) // 522]
    y = np.cos(2 * np.pi * week / 52.1775) * place[:, 0] + rng.normal(size=ROWS)
    x = np.column_stack([week, place])
    return jnp.asarray(x, jnp.float32), jnp.asarray(y / y.std(), jnp.float32)


def ours(x, y):
    observation = OBSERVATION_MODELS["NORMAL"]
    degrees = (DEGREE,) * 3
    field = BayesianNeuralField(
        SCALES, degrees, (), PERIODS, HARMONICS, WIDTH, DEPTH, name="field"
    )
    model = _model(field, observation, Units(), has_prior=True)
    guide = mean_field(model, x, y, starts=observation.starts, init_scale=None)
    return EnsembleVI(model, guide, optax.adam(0.005), MEMBERS)


def forward(p, x):
    """The field of one member, its parameters a dictionary by site."""
    u = x / (SCALES * jnp.exp(p["log_scale_adjustment"]))
    octaves = 2.0 ** np.arange(DEGREE, dtype=np.float32)
    blocks = [u]
    for column in u.T:
        wave = 2 * np.pi * octaves * column[:, None]
        weight = np.arange(1, DEGREE + 1, dtype=np.float32)
        blocks.append(jnp.concatenate([jnp.cos(wave) / weight, jnp.sin(wave) / weight], 1))
    harmonics = np.concatenate([np.arange(1, h + 1) for h in HARMONICS])
    frequencies = harmonics / np.repeat(PERIODS, HARMONICS)
    wave = 2 * np.pi * (x[:, :1] * frequencies.astype(np.float32) % 1.0)
    blocks.append(
        jnp.concatenate([jnp.cos(wave), jnp.sin(wave)], 1) / np.tile(harmonics, 2)
    )
    gains = [jax.nn.softplus(p[f"feature_gain_{k}"]) for k in range(len(blocks))]
    h = jnp.concatenate([b * g for b, g in zip(blocks, gains, strict=True)], 1)
    a = jax.nn.sigmoid(p["logit_activation_weight"])
    for name in [*(f"layer_{k}" for k in range(DEPTH)), "output"]:
        h = h / np.sqrt(h.shape[-1]).astype(np.float32)
        h = jax.nn.softplus(p[f"{name}_gain"]) * (h @ p[f"{name}_W"] + p[f"{name}_b"])
        if name != "output":
            h = a * jax.nn.elu(h) + (1 - a) * jnp.tanh(h)
    return h[:, 0]


def loss(p, x, y, scale):
    sites = {name.removeprefix("field."): value for name, value in p.items()}
    z = (y - forward(sites, x)) / (0.01 + jnp.exp(sites["log_noise_scale"]))
    noise = jnp.log(0.01 + jnp.exp(sites["log_noise_scale"]))
    loglik = -jnp.sum(0.5 * z**2 + noise + 0.5 * jnp.log(2 * jnp.pi))
    flat = jnp.concatenate([value.ravel() for value in p.values()])
    logprior = -jnp.sum(flat + 2 * jax.nn.softplus(-flat))
    return -scale * loglik - logprior


def by_hand(batch):
    """A function of state and data that takes one epoch of contiguous batches."""
    optimizer = optax.adam(0.005)
    steps = ROWS // batch

    @jax.jit
    def epoch(state, x, y):
        def step(state, i):
            xb, yb = (jax.lax.dynamic_slice_in_dim(v, i * batch, batch) for v in (x, y))

            def member(state):
                params, opt_state = state
                value, grads = jax.value_and_grad(loss)(params, xb, yb, ROWS / batch)
                updates, opt_state = optimizer.update(grads, opt_state)
                return (optax.apply_updates(params, updates), opt_state), value

            return jax.vmap(member)(state)

        return jax.lax.scan(step, state, jnp.arange(steps))

    return jax.vmap(optimizer.init), epoch


def points(params):
    return {name.removesuffix(LOC): value for name, value in params.items()}


@pytest.mark.parametrize("batch", [ROWS, 512])
def test_epoch(compare, as_in_long_runs, batch):
    """An epoch of a field estimator against the network written by hand."""
    x, y = data()
    ensemble = ours(x, y)
    batch_size = None if batch == ROWS else batch
    steps = ROWS // batch
    start = ensemble.run(KEY, 1, x, y, batch_size=batch_size, progress_bar=False)
    init, epoch = by_hand(batch)
    params = points(start.params)
    state = jax.block_until_ready((params, init(params)))

    def run():
        return ensemble.run(
            KEY,
            steps,
            x,
            y,
            batch_size=batch_size,
            init_state=start.state,
            progress_bar=False,
        ).losses

    if batch == ROWS:  # both sides are the same function
        losses = np.asarray(run())[:, 0]
        np.testing.assert_allclose(losses, epoch(state, x, y)[1][0], rtol=1e-4)
    compare(run, lambda: epoch(state, x, y)[1], rounds=5, goal=1.1, rows=ROWS)
