"""A batch ensemble of 16 members against one network, and against 16 networks.

The network has two layers of 256 tanh units for 256 inputs; a step is the gradient of the
log joint density and Adam, by `EnsembleMAP`. ``split``: each member sees a sixteenth of the
128 rows, so that all members together see as many as the one network. ``tiled``: each
member sees all 128 rows, as each of 16 networks does.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax
from jax import random

from numpyro_bayeslayers.infer import EnsembleMAP, log_joint_of
from numpyro_bayeslayers.layers import (
    DenseBatchEnsemble,
    DenseReparameterization,
    tile_members,
)

WIDTH, ROWS, MEMBERS = 256, 128, 16
# So many steps of one network are compiled with all of XLA's optimizations, as those of 16
# networks are by a few.
STEPS, FEW = 700, 40


def model_of(dense, arrange, observe):
    """A network of layers that `dense` makes, on rows that `arrange` brings in its form."""
    first, second, out = (
        dense(WIDTH, size, name)
        for size, name in ((WIDTH, "first"), (WIDTH, "second"), (1, "out"))
    )

    def model(x, y=None):
        h = jnp.tanh(second(jnp.tanh(first(arrange(x)))))
        observe(out(h)[..., 0], y)

    return model


def observe(f, y):
    """Each member on its rows."""
    numpyro.sample("y", dist.Normal(f, 0.1).to_event(f.ndim), obs=y.reshape(f.shape))


def observe_tiled(f, y):
    """Each member on all rows, a sixteenth of each."""
    with numpyro.handlers.scale(scale=1.0 / MEMBERS):
        numpyro.sample(
            "y", dist.Normal(f, 0.1).to_event(2), obs=jnp.broadcast_to(y, f.shape)
        )


def batch_dense(size, out, name):
    return DenseBatchEnsemble(size, out, MEMBERS, prior_scale="fan_in", name=name)


def one_dense(size, out, name):
    return DenseReparameterization(size, out, prior_scale="fan_in", name=name)


def split(x):
    return x.reshape(MEMBERS, ROWS // MEMBERS, WIDTH)


MODELS = {
    "one": model_of(one_dense, lambda x: x, observe),
    "split": model_of(batch_dense, split, observe),
    "tiled": model_of(batch_dense, lambda x: tile_members(x, MEMBERS), observe_tiled),
}


def run_of(name, num_members=1, steps=STEPS):
    """Some steps of `EnsembleMAP` with so many networks."""
    x = random.normal(random.key(0), (ROWS, WIDTH))
    y = jnp.sin(x[:, 0])
    init_fn, log_joint = log_joint_of(MODELS[name], x, y)
    ensemble = EnsembleMAP(log_joint, init_fn, optax.adam(1e-3), num_members)
    return lambda: ensemble.run(0, steps, x, y, progress_bar=False)[:2]


def test_split(compare):
    """A step of a batch ensemble of 16 that splits the rows, against one network."""
    compare(run_of("split"), run_of("one"), steps=STEPS, rounds=5, goal=1.5)


def test_tiled(compare):
    """A step of a batch ensemble of 16 on tiled rows, against 16 networks."""
    many, tiled = run_of("one", MEMBERS, FEW), run_of("tiled", steps=FEW)
    compare(tiled, many, steps=FEW, rounds=5)


def test_networks(compare):
    """A step of 16 networks, against one."""
    many, one = run_of("one", MEMBERS, FEW), run_of("one", steps=FEW)
    compare(many, one, steps=FEW, rounds=5)
