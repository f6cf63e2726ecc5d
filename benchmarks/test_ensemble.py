"""`EnsembleMAP` against the least that one could write by hand for the same numbers.

The problem is a network of 8-64-64-1 units on 500 rows. By hand there is one `jax.vmap` of
value, gradient and Adam, either jitted and called from a Python loop with donated buffers,
or under one `jax.lax.scan` of a fixed number of steps. Both are timed: on a CPU the scan is
the faster one for many members, because it allocates its temporary arrays once.
"""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest
from jax import lax, random

from numpyro_bayeslayers.infer import EnsembleMAP, ensemble_predict

ADAM = optax.adam(1e-2)
# Steps of one call: about half a second, enough that the start and the end of a run (a few
# milliseconds, and more for many members) count little.
STEPS = {1: 2000, 8: 300, 16: 150, 64: 24, 256: 6}
CASES = [(m, "scan") for m in STEPS] + [(m, "loop") for m in (1, 16, 64)]
WIDTHS = (8, 64, 64, 1)


def mlp_init(key):
    keys = random.split(key, len(WIDTHS) - 1)
    return [
        {"w": random.normal(k, (a, b)) / a**0.5, "b": jnp.zeros(b)}
        for k, a, b in zip(keys, WIDTHS[:-1], WIDTHS[1:], strict=True)
    ]


def mlp(params, x):
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return (x @ params[-1]["w"] + params[-1]["b"])[:, 0]


def log_joint(params, x, y):
    logprior = -0.5 * sum(jnp.sum(p**2) for p in jax.tree.leaves(params))
    return -0.5 * jnp.sum((y - mlp(params, x)) ** 2), logprior


def line_init(key):
    return {"w": random.normal(key, (8,)), "b": 0.0}


def line_log_joint(params, x, y):
    f = x @ params["w"] + params["b"]
    return -0.5 * jnp.sum((y - f) ** 2), -0.5 * jnp.sum(params["w"] ** 2)


MODELS = {"mlp": (log_joint, mlp_init), "line": (line_log_joint, line_init)}


def data(rows=500):
    x = random.normal(random.key(0), (rows, WIDTHS[0]))
    return jax.block_until_ready((x, jnp.sin(x.sum(1))))


def by_hand(log_joint, init_fn, num_members):
    """The jitted start, and the step to be jitted."""

    @jax.jit
    def init(key):
        params = jax.vmap(lambda k: jax.tree.map(jnp.asarray, init_fn(k)))(
            random.split(key, num_members)
        )
        return params, jax.vmap(ADAM.init)(params)

    def step(state, x, y, scale=1.0):
        def member(params, opt_state):
            def loss_fn(params):
                loglik, logprior = log_joint(params, x, y)
                return -scale * loglik - logprior

            loss, grads = jax.value_and_grad(loss_fn)(params)
            updates, opt_state = ADAM.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), loss

        return jax.vmap(member)(*state)

    return init, step


def hand_loop(init, step, x, y, steps):
    """A Python loop over the jitted step."""
    jitted = jax.jit(step, donate_argnums=0)

    def run():
        state, losses = init(random.key(0)), []
        for _ in range(steps):
            state, loss = jitted(state, x, y)
            losses.append(loss)
        return state, losses

    return run


def hand_scan(init, step, x, y, steps):
    """One scan, compiled for this number of steps."""

    @functools.partial(jax.jit, donate_argnums=0)
    def scan(state, x, y):
        return lax.scan(lambda state, _: step(state, x, y), state, None, length=steps)

    return lambda: scan(init(random.key(0)), x, y)


HANDS = {"scan": hand_scan, "loop": hand_loop}


@pytest.mark.parametrize(("num_members", "other"), CASES)
def test_step_of_run(compare, as_in_long_runs, num_members, other):
    """A step of `EnsembleMAP.run` against the hand-written one."""
    x, y = data()
    steps = STEPS[num_members]
    ensemble = EnsembleMAP(log_joint, mlp_init, ADAM, num_members)
    compare(
        lambda: ensemble.run(0, steps, x, y, progress_bar=False)[:2],
        HANDS[other](*by_hand(log_joint, mlp_init, num_members), x, y, steps),
        steps=steps,
        rounds=5,
        goal=1.05,
    )


@pytest.mark.parametrize("num_members", [1, 16, 64])
def test_step_of_update(compare, num_members):
    """`EnsembleMAP.update` from a Python loop, against the hand-written one.

    By hand without donation, which `update` must not do either.
    """
    x, y = data()
    steps = STEPS[num_members]
    ensemble = EnsembleMAP(log_joint, mlp_init, ADAM, num_members)
    init, step = by_hand(log_joint, mlp_init, num_members)
    jitted = jax.jit(step)

    def loop(state, update):
        for _ in range(steps):
            state, losses = update(state, x, y)
        return state, losses

    start, hand_start = ensemble.init(0), init(random.key(0))
    compare(
        lambda: loop(start, ensemble.update),
        lambda: loop(hand_start, jitted),
        steps=steps,
        rounds=5,
        goal=1.05,
    )


def test_progress_bar(compare):
    """`EnsembleMAP.run` with the progress bar against one without."""
    x, y = data()
    ensemble = EnsembleMAP(log_joint, mlp_init, ADAM, 16)
    compare(
        lambda: ensemble.run(0, 400, x, y, progress_bar=True)[:2],
        lambda: ensemble.run(0, 400, x, y, progress_bar=False)[:2],
        steps=400,
        rounds=5,
        goal=1.05,
    )


@pytest.mark.parametrize("how", ["run", "update"])
@pytest.mark.parametrize("num_members", [16])
def test_first_step(compare, compilations, num_members, how):
    """`EnsembleMAP` from nothing to the end of the first step, compilation included."""
    x, y = data()
    counts = []

    def ours():
        before = len(compilations)
        ensemble = EnsembleMAP(log_joint, mlp_init, ADAM, num_members)
        if how == "run":
            out = ensemble.run(0, 1, x, y, progress_bar=False)[:2]
        else:
            out = ensemble.update(ensemble.init(0), x, y)
        counts.append(len(compilations) - before)
        return out

    def other():
        init, step = by_hand(log_joint, mlp_init, num_members)
        return hand_loop(init, step, x, y, 1)()

    compare(ours, other, rounds=3, goal=1.2)
    assert set(counts[1:]) == {2}, "the start and the steps are one program each"


def test_second_run_compiles_nothing(compare, compilations):
    """The second run against one of an object made anew."""
    x, y = data()
    counts = {"kept": set(), "fresh": set()}

    def run(which, ensemble, seed, steps):
        before = len(compilations)
        out = ensemble.run(seed, steps, x, y, batch_size=100, progress_bar=False)[:2]
        counts[which].add(len(compilations) - before)
        return out

    fresh = lambda: EnsembleMAP(log_joint, mlp_init, ADAM, 16)
    kept = fresh()
    kept.run(0, 3, x, y, batch_size=100, progress_bar=False)
    compare(
        lambda: run("kept", kept, 1, 20),
        lambda: run("fresh", fresh(), 1, 20),
        steps=20,
        rounds=3,
    )
    assert counts == {"kept": {0}, "fresh": {2}}


def permutation(i, size, *arrays):
    """The rows that a permutation of all of them begins with."""
    rows = random.permutation(random.fold_in(random.key(1), i), len(arrays[0]))[:size]
    return [a[rows] for a in arrays]


def contiguous(i, size, *arrays):
    """The next rows in their order."""
    start = (i * size) % (len(arrays[0]) - size)
    return [lax.dynamic_slice_in_dim(a, start, size) for a in arrays]


ROWS_OF = {"permutation": permutation, "contiguous": contiguous}


def minibatch_scan(step, x, y, batch_size, steps, rows_of):
    """One scan by hand, in minibatches of the rows that `rows_of` gives."""

    def one(state, i):
        return step(state, *rows_of(i, batch_size, x, y), len(x) / batch_size)

    @functools.partial(jax.jit, donate_argnums=0)
    def scan(state):
        return lax.scan(one, state, jnp.arange(steps))

    return scan


@pytest.mark.parametrize("other", ROWS_OF)
@pytest.mark.parametrize("model", MODELS)
def test_minibatch(compare, as_in_long_runs, model, other):
    """Minibatches against a permutation of all rows at each step, or against contiguous rows."""
    rows, batch_size, num_members, steps = 20_000, 128, 16, 156  # one pass
    x, y = data(rows)
    ensemble = EnsembleMAP(*MODELS[model], ADAM, num_members)
    init, step = by_hand(*MODELS[model], num_members)
    scan = minibatch_scan(step, x, y, batch_size, steps, ROWS_OF[other])
    compare(
        lambda: ensemble.run(0, steps, x, y, batch_size=batch_size, progress_bar=False)[:2],
        lambda: scan(init(random.key(0))),
        steps=steps,
        rounds=5,
        goal=0.2 if other == "permutation" else None,
    )


def test_predict(compare):
    """`ensemble_predict` of 20,000 rows in blocks of 512 against all rows at once."""
    x, _ = data(20_000)
    params = EnsembleMAP(log_joint, mlp_init, ADAM, 16).init(0).params
    compare(
        lambda: ensemble_predict(params, mlp, x, batch_size=512),
        lambda: ensemble_predict(params, mlp, x),
        rounds=5,
        goal=1.05,
    )
