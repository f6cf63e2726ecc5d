"""`EnsembleSVI` against `jax.vmap(svi.update)` by hand, and against one fit after another.

The problem is a network of 8-64-64-1 units on 500 rows under `AutoNormal`.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.layers import DenseReparameterization

STEPS = {1: 800, 8: 150, 16: 90, 64: 24, 256: 6, 1024: 2}
KEY = jax.random.key(0)


def model(x, y=None):
    h = x
    for i, width in enumerate((64, 64)):
        h = jnp.tanh(DenseReparameterization(h.shape[-1], width, name=f"h{i}")(h))
    f = DenseReparameterization(64, 1, name="out")(h)[..., 0]
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 0.3), obs=y)


def data(rows=500):
    x = jax.random.normal(jax.random.key(1), (rows, 8))
    return jax.block_until_ready((x, jnp.sin(x.sum(1))))


def ours(members):
    return EnsembleSVI(model, AutoNormal, optax.adam(1e-3), num_members=members)


def by_hand(members, x, y):
    """State and step of the least that one could write: stock `SVI` under `jax.vmap`."""
    svi = SVI(model, AutoNormal(model), optax.adam(1e-3), Trace_ELBO())
    init = jax.jit(jax.vmap(lambda key: svi.init(key, x, y)))
    update = jax.jit(jax.vmap(lambda state: svi.update(state, x, y)), donate_argnums=0)
    return svi, init(jax.random.split(KEY, members)), update


def members_of(config):
    gpu = config.getoption("--backend") == "gpu"
    return (1, 8, 64, 256, 1024) if gpu else (1, 8, 16, 64, 256)


def pytest_generate_tests(metafunc):
    if "members" in metafunc.fixturenames:
        metafunc.parametrize("members", members_of(metafunc.config))


def test_run_against_updates(compare, as_in_long_runs, members):
    """A step of `EnsembleSVI.run` against a Python loop over NumPyro's, under vmap."""
    (x, y), steps = data(), STEPS[members]
    _, state, update = by_hand(members, x, y)

    def hand():
        nonlocal state
        for _ in range(steps):
            state, loss = update(state)
        return loss

    compare(steps_of_run(members, x, y, steps), hand, steps=steps, rounds=3, goal=1.05)


def test_run_against_scan(compare, as_in_long_runs, members):
    """A step of `EnsembleSVI.run` against `jax.lax.scan` of NumPyro's, under vmap."""
    (x, y), steps = data(), STEPS[members]
    svi, state, _ = by_hand(members, x, y)
    step = jax.vmap(lambda state: svi.update(state, x, y))
    scan = jax.jit(lambda s: jax.lax.scan(lambda s, _: step(s), s, length=steps))
    run = steps_of_run(members, x, y, steps)
    compare(run, lambda: scan(state)[1], steps=steps, rounds=5, goal=1.05)


def steps_of_run(members, x, y, steps):
    """Steps of ours alone, as by hand: the members are started before."""
    ensemble = ours(members)
    start = ensemble.run(KEY, 1, x, y, progress_bar=False).state

    def run():
        result = ensemble.run(KEY, steps, x, y, init_state=start, progress_bar=False)
        return result.losses

    return run


def test_first_step(compare):
    """`EnsembleSVI` of 16 members up to the first step, compilation included."""
    x, y = data()

    def hand():
        _, state, update = by_hand(16, x, y)
        return update(state)[1]

    def run():
        return ours(16).run(KEY, 1, x, y, progress_bar=False).losses

    compare(run, hand, rounds=2, goal=1.2)


def test_against_one_fit_after_another(compare):
    """`EnsembleSVI` of 16 members against one compiled NumPyro fit after another."""
    (x, y), steps = data(), STEPS[16]
    ensemble = ours(16)
    svi = SVI(model, AutoNormal(model), optax.adam(1e-3), Trace_ELBO())
    svi.init(KEY, x, y)  # the guide notes its prototype, which must hold no tracers
    states = [jax.jit(svi.init)(key, x, y) for key in jax.random.split(KEY, 16)]
    scan = jax.jit(
        lambda s: jax.lax.scan(lambda s, _: svi.update(s, x, y), s, length=steps)
    )

    def run():
        return ensemble.run(KEY, steps, x, y, progress_bar=False).losses

    compare(run, lambda: [scan(s)[1] for s in states], steps=steps, rounds=5)


def test_second_run_compiles_nothing(benchmark, compilations):
    x, y = data()
    ensemble = ours(8)
    ensemble.run(KEY, 3, x, y, progress_bar=False)
    compilations.clear()
    benchmark.pedantic(
        lambda: ensemble.run(KEY, 5, x, y, progress_bar=False), rounds=1, iterations=1
    )
    benchmark.extra_info["compilations"] = len(compilations)
    assert not compilations


@pytest.mark.parametrize("batch", [128])
def test_minibatch(compare, as_in_long_runs, batch):
    """`EnsembleSVI` in shuffled minibatches of 20,000 rows against contiguous rows."""
    x, y = data(20_000)
    steps = 156  # one pass
    ensemble = ours(16)
    _, state, _ = by_hand(16, x[:batch], y[:batch])
    svi = SVI(model, AutoNormal(model), optax.adam(1e-3), Trace_ELBO())
    jax.jit(svi.init)(KEY, x[:batch], y[:batch])

    @jax.jit
    def contiguous(state):
        def body(state, i):
            xb, yb = (jax.lax.dynamic_slice_in_dim(a, i * batch, batch) for a in (x, y))
            return jax.vmap(lambda s: svi.update(s, xb, yb))(state)

        return jax.lax.scan(body, state, jnp.arange(steps))[1]

    def run():
        return ensemble.run(KEY, steps, x, y, batch_size=batch, progress_bar=False).losses

    compare(run, lambda: contiguous(state), steps=steps, rounds=5)
