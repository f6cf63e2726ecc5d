"""Minibatches of `EnsembleSVI`: what is scaled, in which order, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI
from tests.infer.svi_problems import X, Y, model
from tests.quick import mostly_slow

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)


def by_event(x, y=None):
    """The rows are one event, without a plate."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.sample("y", dist.Normal(x @ w, 1.0).to_event(1), obs=y)


def by_factor(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.factor("y", -0.5 * (y - x @ w) ** 2)


def with_other_plate(x, y=None):
    """A plate that is as large as a minibatch, and has nothing to do with rows."""
    with numpyro.plate("groups", 4):
        shift = numpyro.sample("shift", dist.Normal(0, 1))
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ jnp.ones(2) + shift.sum(), 1.0), obs=y)


@pytest.mark.parametrize(
    "fn", mostly_slow([model, by_event, by_factor, with_other_plate], 2)
)
def test_a_pass_of_minibatches_is_the_full_batch(fn):
    """At a learning rate of zero, the mean loss over the three batches of a pass is exact."""
    ensemble = EnsembleSVI(fn, AutoDelta, optax.sgd(0.0), num_members=2)
    full = ensemble.run(KEY, 1, X, Y, progress_bar=False)
    parts = ensemble.run(KEY, 6, X, Y, batch_size=4, progress_bar=False)
    # The starts of a batch and of all rows come from one key, so they agree.
    for first in (0, 3):
        means = parts.losses[:, first : first + 3].mean(1)
        np.testing.assert_allclose(means, full.losses[:, 0], rtol=1e-5)
    assert not np.allclose(parts.losses[:, 0], full.losses[:, 0])


def test_update_with_a_minibatch():
    ensemble = EnsembleSVI(model, AutoDelta, optax.sgd(0.0), num_members=2)
    state = ensemble.init(KEY, X, Y)
    full = ensemble.update(state, X, Y)[1]
    halves = [ensemble.update(state, X[i::2], Y[i::2], num_rows=12)[1] for i in (0, 1)]
    np.testing.assert_allclose(np.mean(halves, 0), full, rtol=1e-5)
    with pytest.raises(
        ValueError, match="`num_rows` must be at least the number of rows of the batch"
    ):
        ensemble.update(state, X, Y, num_rows=5)


def test_too_large_a_batch_is_all_rows():
    ensemble = EnsembleSVI(model, AutoDelta, optax.adam(0.1), num_members=2)
    full = ensemble.run(KEY, 4, X, Y, progress_bar=False)
    large = ensemble.run(KEY, 4, X, Y, batch_size=100, progress_bar=False)
    np.testing.assert_array_equal(full.losses, large.losses)


def test_batches_of_an_iterator():
    ensemble = EnsembleSVI(model, AutoDelta, optax.sgd(0.0), num_members=2)
    full = ensemble.run(KEY, 1, X, Y, progress_bar=False)
    batches = ((X[i : i + 4], Y[i : i + 4]) for i in (0, 4, 8))
    result = ensemble.run_batches(KEY, batches, num_rows=12, progress_bar=False)
    np.testing.assert_allclose(result.losses.mean(1), full.losses[:, 0], rtol=1e-5)
    with pytest.raises(ValueError, match="`batches` must give at least one batch"):
        ensemble.run_batches(KEY, [], num_rows=12, progress_bar=False)


def test_the_model_may_subsample_itself():
    def subsampled(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
        with numpyro.plate("data", 12, subsample_size=4) as rows:
            numpyro.sample("y", dist.Normal(x[rows] @ w, 1.0), obs=y[rows])

    ensemble = EnsembleSVI(subsampled, AutoDelta, optax.adam(0.05), num_members=2)
    result = ensemble.run(KEY, 200, X, Y, progress_bar=False)
    ridge = jnp.linalg.solve(X.T @ X + jnp.eye(2), X.T @ Y)
    np.testing.assert_allclose(result.params["w_auto_loc"], [ridge] * 2, atol=0.2)


def test_latent_rows_are_refused_under_autoguides():
    def local(x, y=None):
        with numpyro.plate("data", x.shape[0]):
            z = numpyro.sample("z", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    ensemble = EnsembleSVI(local, AutoNormal, optax.adam(0.05), num_members=2)
    with pytest.raises(ValueError, match="latent sites z have one value for each row"):
        ensemble.run(KEY, 3, X, Y, batch_size=4, progress_bar=False)
    assert ensemble.run(KEY, 3, X, Y, progress_bar=False).losses.shape == (2, 3)


def test_amortized_guides_may_have_latent_rows():
    def local(x, y=None):
        with numpyro.plate("data", x.shape[0]):
            z = numpyro.sample("z", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x, y=None):
        slope = numpyro.param("slope", 0.4)
        with numpyro.plate("data", x.shape[0]):
            numpyro.sample("z", dist.Normal(slope * y, 0.7))

    ensemble = EnsembleSVI(local, guide, optax.adam(0.02), num_members=2)
    result = ensemble.run(KEY, 400, X, Y, batch_size=4, progress_bar=False)
    # The exact posterior of each row is N(y / 2, 1 / 2).
    np.testing.assert_allclose(result.params["slope"], 0.5, atol=0.1)


def test_no_rows():
    def lonely(width):
        numpyro.sample("w", dist.Normal(0, 1).expand([width]).to_event(1))

    ensemble = EnsembleSVI(lonely, AutoDelta, optax.adam(0.05), num_members=2)
    assert ensemble.run(KEY, 3, 5, progress_bar=False).params["w_auto_loc"].shape == (2, 5)
    with pytest.raises(ValueError, match="`batch_size` needs arrays of rows"):
        ensemble.run(KEY, 3, 5, batch_size=2, progress_bar=False)


def test_a_million_rows_are_held_once():
    """Of 64 MB of data and 16 members, a chunk of steps holds less than 0.4 of a copy more.

    What it holds is the order of the rows, 4 MB, and the sort that makes it.
    """
    from numpyro_bayeslayers.infer.rows._arguments import take_apart
    from numpyro_bayeslayers.infer.training._state import plain
    from numpyro_bayeslayers.infer.training._training_loop import Shuffle

    rows = 1_000_000
    ensemble = EnsembleSVI(by_event_of_many, AutoDelta, optax.adam(0.1), num_members=16)
    small = jnp.ones((128, 16)), jnp.ones(128)
    state = plain(ensemble.init(KEY, *small))
    program = ensemble._programs.get(take_apart(small, {}), 128, num_rows=rows)
    shapes = [
        jax.ShapeDtypeStruct((rows, 16), "float32"),
        jax.ShapeDtypeStruct((rows,), "float32"),
    ]

    def run(x, y):
        carry = (state, Shuffle(jnp.int32(-1), jnp.zeros(rows, jnp.int32)))
        data = ([x, y], [None, None])
        return program.trainer.loop(None)._compile(None)(
            carry, data, KEY, 0, 10, batch_size=128
        )

    held = jax.jit(run).lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert held < 0.4 * 64e6


def by_event_of_many(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([16]).to_event(1))
    numpyro.sample("y", dist.Normal(x @ w, 1.0).to_event(1), obs=y)
