"""How the steps are taken: order of rows, traces, determinism, members that go wrong."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from numpyro_bayeslayers.infer import EnsembleMAP, ensemble_loss
from numpyro_bayeslayers.infer.training import _training_loop
from tests.infer.problems import (
    COLUMNS,
    assert_close,
    assert_same,
    ensemble_of,
    linear,
    linear_init,
    regression,
    visits,
)


def counting(log_joint):
    """`log_joint`, and how often it was traced."""
    traces = []

    def counted(params, x, y):
        traces.append(jax.tree.map(jnp.shape, x))
        return log_joint(params, x, y)

    return counted, traces


def show_progress(monkeypatch):
    """Undo the environment variable that silences tests: tqdm read it when imported."""
    bar = functools.partial(_training_loop.tqdm, disable=False)
    monkeypatch.setattr(_training_loop, "tqdm", bar)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_run_is_as_many_updates(kind):
    """Equal but for the rounding of two compilations of one step."""
    x, y = regression()
    ensemble = ensemble_of(kind)
    result = ensemble.run(2, 20, x, y)
    state, losses = ensemble.init(2), []
    for _ in range(20):
        state, loss = ensemble.update(state, x, y)
        losses.append(loss)
    np.testing.assert_allclose(result.losses, np.stack(losses, 1), rtol=1e-4)
    assert_close(result.state, state, rtol=1e-3, atol=1e-5)


def test_run_starts_where_init_does():
    x, y = regression()
    ensemble = EnsembleMAP(linear, linear_init, optax.sgd(0.0), 4)
    assert_same(ensemble.run(9, 3, x, y).params, ensemble.init(9).params)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_deterministic_in_the_seed(batch_size):
    x, y = regression()
    ensemble = ensemble_of("linear")
    first = ensemble.run(0, 30, x, y, batch_size=batch_size)
    assert_same(ensemble.run(0, 30, x, y, batch_size=batch_size), first)
    fresh = ensemble_of.__wrapped__("linear")
    assert_same(fresh.run(0, 30, x, y, batch_size=batch_size), first)
    assert not np.allclose(
        ensemble.run(1, 30, x, y, batch_size=batch_size).params, first.params
    )


@pytest.mark.parametrize("batch_size", [None, 7])
def test_chunks_do_not_show(batch_size, monkeypatch):
    """The progress bar cuts the run into chunks, here of 2 steps; passes have 5."""
    show_progress(monkeypatch)
    x, y = regression()
    ensemble = ensemble_of("linear")
    whole = ensemble.run(0, 45, x, y, batch_size=batch_size, progress_bar=False)
    assert_same(ensemble.run(0, 45, x, y, batch_size=batch_size, progress_bar=True), whole)


def test_steps_beyond_one_chunk():
    x, y = regression()
    ensemble = ensemble_of("linear")
    short = ensemble.run(0, 1000, x, y, batch_size=7, progress_bar=False)
    long = ensemble.run(0, 2100, x, y, batch_size=7, progress_bar=False)
    assert long.losses.shape == (4, 2100)
    np.testing.assert_array_equal(long.losses[:, :1000], short.losses)


@pytest.mark.parametrize("rows", [40, 41, 200])
def test_large_batch_is_the_full_batch(rows):
    x, y = regression()
    ensemble = ensemble_of("linear")
    assert_same(ensemble.run(0, 10, x, y, batch_size=rows), ensemble.run(0, 10, x, y))


@pytest.mark.filterwarnings("ignore:The 2 members are identical")
def test_rows_are_visited_once_in_each_pass():
    """Rows left out differ between passes: equal by chance once in 1771 pairs of passes."""
    rows, batch_size, passes = 23, 5, 4
    ensemble = EnsembleMAP(visits, lambda key: jnp.zeros(rows), optax.sgd(1.0), 2)
    x, y = np.arange(rows), np.zeros(rows, np.float32)
    seen = [np.zeros((2, rows))]
    for p in range(1, passes + 1):
        result = ensemble.run(0, p * (rows // batch_size), x, y, batch_size=batch_size)
        seen.append(np.asarray(result.params) * batch_size / rows)
    each = np.diff(seen, axis=0)
    np.testing.assert_allclose(each, np.round(each), atol=1e-5)
    each = np.round(each)
    assert set(np.unique(each)) == {0.0, 1.0}
    assert (each.sum(-1) == 20).all()
    np.testing.assert_array_equal(each[:, 0], each[:, 1])
    assert len(np.unique(each[:, 0], axis=0)) > 1


def test_rows_are_visited_once_when_batches_fit():
    ensemble = EnsembleMAP(visits, lambda key: jnp.zeros(24), optax.sgd(1.0), 1)
    x, y = np.arange(24), np.zeros(24, np.float32)
    result = ensemble.run(0, 6, x, y, batch_size=4)
    np.testing.assert_allclose(result.params[0], 6.0, rtol=1e-6)


def test_order_of_rows_is_uniform():
    """Each of 4 rows comes first in a quarter of 2000 passes.

    For another seed this fails less than twice in 1e5: four binomial counts, none beyond
    4.6 standard deviations.
    """
    ensemble = EnsembleMAP(
        lambda w, x, y: (jnp.sum(x), 0.0 * w), lambda key: 0.0, optax.sgd(1.0), 1
    )
    x = np.arange(4, dtype=np.float32)
    losses = ensemble.run(0, 8000, x, x, batch_size=1).losses  # -4 x: the order itself
    order = (-np.asarray(losses[0]) / 4).reshape(2000, 4).astype(int)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(4), (2000, 1)))
    first = np.bincount(order[:, 0], minlength=4)
    assert (np.abs(first - 500) < 4.6 * np.sqrt(2000 * 0.25 * 0.75)).all()


def test_scaled_batches_are_unbiased():
    """Over one pass, the mean of the batches' gradients is the gradient of all rows."""
    x, y = regression(40)
    w = jnp.array([0.3, -1.0, 2.0])
    full = ensemble_loss(linear)(w, x, y)
    order = np.random.default_rng(0).permutation(40).reshape(5, 8)
    parts = [ensemble_loss(linear, scale=40 / 8)(w, x[rows], y[rows]) for rows in order]
    for whole, batches in zip(full, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(np.mean(batches, axis=0), whole, rtol=1e-5)


def test_run_scales_the_likelihood_only():
    def log_joint(w, x, y):
        return jnp.sum(0.0 * x) + w["a"] * x.shape[0], w["b"]

    start = {"a": 0.0, "b": 0.0}
    ensemble = EnsembleMAP(log_joint, lambda key: start, optax.sgd(1.0), 1, 0.5)
    x = np.ones(30, np.float32)
    params = ensemble.run(0, 1, x, x, batch_size=4).params
    np.testing.assert_allclose(params["a"], 30.0, rtol=1e-6)
    np.testing.assert_allclose(params["b"], 0.5, rtol=1e-6)


def test_traced_once_for_each_shape():
    """And once more for each shape of all the data, for layers that look at it."""
    x, y = regression()
    log_joint, traces = counting(linear)
    ensemble = EnsembleMAP(log_joint, linear_init, optax.adam(0.05), 3)
    ensemble.run(0, 10, x, y)
    assert len(traces) == 1 + 1
    ensemble.run(1, 2500, x, y, progress_bar=False)
    ensemble.run(jax.random.key(0), 10, jnp.asarray(x), y, batch_size=1000)
    assert len(traces) == 1 + 1
    ensemble.run(0, 10, x, y, batch_size=8)
    ensemble.run(1, 33, x, y, batch_size=8)
    # A few rows and two parts of them are looked at, once, before the first minibatch.
    assert [len(shape) and shape[0] for shape in traces] == [40, 40, 7, 3, 4, 8]
    ensemble.run(0, 10, x[:20], y[:20])
    assert len(traces) == 6 + 2


def test_update_is_traced_once():
    x, y = regression()
    log_joint, traces = counting(linear)
    ensemble = EnsembleMAP(log_joint, linear_init, optax.adam(0.05), 3)
    state = ensemble.init(0)
    for scale in (1.0, 2.0, 2.5, 40 / 8):
        state, _ = ensemble.update(state, x, y, scale=scale)
    assert len(traces) == 1


def test_second_run_compiles_nothing(compiled):
    x, y = regression()
    ensemble = EnsembleMAP(linear, linear_init, optax.adam(0.05), 3)
    ensemble.run(0, 30, x, y, batch_size=8)
    ensemble.run(0, 30, x, y)
    assert compiled
    compiled.clear()
    ensemble.run(1, 77, x, y, batch_size=8)
    ensemble.run(1, 5, x, y)
    assert not compiled


def test_init_is_compiled_once():
    calls = []

    def init_fn(key):
        calls.append(1)
        return linear_init(key)

    ensemble = EnsembleMAP(linear, init_fn, optax.adam(0.05), 3)
    for seed in range(3):
        ensemble.init(seed)
    assert len(calls) == 1


def test_runs_spend_nothing_of_the_user():
    """Buffers are reused inside a run only."""
    x, y = map(jnp.asarray, regression())
    start = jnp.zeros(COLUMNS)
    ensemble = EnsembleMAP(linear, lambda key: start, optax.adam(0.05), 1)
    state = ensemble.init(0)
    first = ensemble.run(0, 5, x, y)
    ensemble.update(first.state, x, y)
    ensemble.update(first.state, x, y)
    ensemble.run(0, 5, x, y, batch_size=8)
    for leaf in jax.tree.leaves((x, y, start, state[:3], first[:2], first.state[:3])):
        assert np.isfinite(leaf).all()
    assert not any(keys.is_deleted() for keys in (state.order_key, first.state.order_key))


def test_data_is_not_copied_for_each_member():
    """Of 25.6 MB of data and 16 members, a minibatch step holds less than one copy."""
    rows, columns, batch_size = 100_000, 64, 128
    x = jax.ShapeDtypeStruct((rows, columns), jnp.float32)
    y = jax.ShapeDtypeStruct((rows,), jnp.float32)
    ensemble = EnsembleMAP(linear, lambda key: jnp.zeros(columns), optax.adam(0.1), 16)
    state = ensemble.init(0)._replace(order_key=None)

    def run(x, y, shuffle, size):
        carry, key = (state, shuffle), jax.random.key(0)
        return ensemble._trainer.loop(None)._compile(None)(
            carry, ((x, y), ()), key, 0, 10, batch_size=size
        )

    def held(shuffle, size):
        compiled = jax.jit(lambda x, y: run(x, y, shuffle, size)).lower(x, y).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    shuffle = _training_loop.Shuffle(jnp.int32(-1), jnp.zeros(rows, jnp.int32))
    data_bytes = 4 * rows * columns
    assert held(shuffle, batch_size) < 0.2 * data_bytes
    # A full batch keeps the residuals: (members, rows), not (members, rows, columns).
    assert held(None, None) < 2 * data_bytes


def diverging(ensemble_size, learning_rate=0.01):
    """An ensemble of which member 2 of seed 0 starts where its loss overflows, and the same
    one without that."""

    def init_fn(key, is_bad):
        w = linear_init(key)
        return jnp.where(is_bad & (jnp.abs(w[0] - bad) < 1e-6), 1e15, 1.0) * w

    def make(is_bad):
        def start(key):
            return init_fn(key, is_bad)

        return EnsembleMAP(linear, start, optax.adam(learning_rate), ensemble_size)

    plain = EnsembleMAP(linear, linear_init, optax.adam(learning_rate), ensemble_size)
    bad = plain.init(0).params[2, 0]
    return make(True), make(False)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_bad_member_is_named_and_alone(batch_size):
    x, y = regression()
    x = x * np.float32(1e5)
    broken, sound = diverging(5)
    with pytest.warns(UserWarning, match=r"Of 5 members, .*: member 2 from step 0\. The"):
        found = broken.run(0, 15, x, y, batch_size=batch_size)
    expected = sound.run(0, 15, x, y, batch_size=batch_size)
    assert not np.isfinite(found.losses[2]).any()
    others = np.array([0, 1, 3, 4])
    assert np.isfinite(expected.losses).all()
    # Two programs, whose roundings may differ; a touch of the bad member would be NaN.
    np.testing.assert_allclose(found.losses[others], expected.losses[others], rtol=1e-5)
    np.testing.assert_allclose(found.params[others], expected.params[others], rtol=1e-5)


def test_bad_member_leaves_updates_alone():
    """NaN in one member's parameters, an optimizer that looks across parameters."""
    x, y = regression()
    ensemble = ensemble_of("mlp")
    sound = broken = ensemble.init(0)
    broken = broken._replace(
        params=jax.tree.map(
            lambda p: p.at[1].set(jnp.nan) if isinstance(p, jax.Array) else p, broken.params
        )
    )
    for _ in range(5):
        sound, expected = ensemble.update(sound, x, y)
        broken, losses = ensemble.update(broken, x, y)
        assert np.isnan(losses[1])
        for e in (0, 2, 3):
            assert losses[e] == expected[e]
            pick = lambda tree, e=e: [
                a[e] for a in jax.tree.leaves(tree) if isinstance(a, jax.Array)
            ]
            assert_same(pick(broken), pick(sound))


def test_last_update_that_overflows_is_named():
    def log_joint(w, x, y):
        return 1e20 * w + 0.0 * jnp.sum(x), 0.0

    ensemble = EnsembleMAP(log_joint, jax.random.normal, optax.sgd(1e30), 2)
    x = np.ones(3, np.float32)
    with pytest.warns(UserWarning, match="member 0 from step 0, member 1 from step 0"):
        result = ensemble.run(0, 1, x, x)
    assert np.isfinite(result.losses).all()


def test_progress_bar_shows_the_mean_loss(monkeypatch, capsys):
    show_progress(monkeypatch)
    x, y = regression()
    ensemble = ensemble_of("linear")
    result = ensemble.run(0, 40, x, y, progress_bar=False)
    assert capsys.readouterr().err == ""
    ensemble.run(0, 40, x, y)
    shown = capsys.readouterr().err
    assert "compiling:   0%" in shown  # what takes long before the first step
    assert "compiling" not in shown.split("init loss")[-1]
    assert f"init loss: {result.losses[:, 0].mean():.4f}" in shown
    assert f"avg. loss [39-40]: {result.losses[:, 38:].mean():.4f}" in shown


def test_a_line_says_what_runs(capsys, monkeypatch):
    show_progress(monkeypatch)
    with _training_loop.saying("compiling the start", True):
        assert "compiling the start" in capsys.readouterr().err
    capsys.readouterr()
    with _training_loop.saying("compiling the start", False):
        pass
    assert "compiling" not in capsys.readouterr().err


def test_the_device_is_two_chunks_ahead_at_most(monkeypatch):
    """Each chunk is waited for before the next but one is handed over: Ctrl-C ends soon."""
    size = _training_loop.CHUNK
    events, loop = [], _training_loop.TrainingLoop(lambda s, *_: (s, s))

    class Losses:
        shape = (size, 1)

        def __init__(self, stop):
            self.stop = stop

        def __array__(self, *args, **kwargs):
            return np.zeros(self.shape)

        def block_until_ready(self):
            events.append(("waited", self.stop // size))
            return self

    def run_chunk(carry, data, key, start, stop, *, batch_size):
        events.append(("handed over", stop // size))
        return carry, Losses(stop)

    monkeypatch.setattr(loop, "_compile", lambda level: run_chunk)
    loop.run(jnp.zeros(1), (), 3 * size, key=jax.random.key(0), progress_bar=False)
    over, waited = "handed over", "waited"
    assert events == [(over, 1), (over, 2), (waited, 1), (over, 3), (waited, 2)]
