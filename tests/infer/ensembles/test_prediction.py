"""`ensemble_predict`: streamed predictions are the plain ones, in bounded memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers.infer import ensemble_predict
from tests.infer.problems import COLUMNS, ensemble_of, regression


def predict_mlp(model, x):
    return jax.vmap(model)(x)


@pytest.mark.parametrize("batch_size", [1, 5, 8, 20, 39, 40, 1000])
def test_streamed_is_plain(batch_size):
    x, _ = regression(40)
    weights = jax.random.normal(jax.random.key(0), (4, COLUMNS, 2))
    out = ensemble_predict(weights, lambda w, x: x @ w, x, batch_size=batch_size)
    np.testing.assert_allclose(
        out, np.einsum("nd,edo->eno", x, weights), rtol=1e-4, atol=1e-6
    )


def test_equinox_members():
    x, _ = regression(11)
    params = ensemble_of("mlp").init(0).params
    expected = [
        predict_mlp(jax.tree.map(lambda a, e=e: a[e] if eqx.is_array(a) else a, params), x)
        for e in range(4)
    ]
    plain = ensemble_predict(params, predict_mlp, x)
    np.testing.assert_allclose(plain, expected, rtol=1e-5, atol=1e-6)
    streamed = ensemble_predict(params, predict_mlp, x, batch_size=4)
    np.testing.assert_allclose(streamed, expected, rtol=1e-5, atol=1e-6)


def test_pytrees_in_and_out():
    x = {"a": np.arange(7.0, dtype=np.float32), "b": [np.ones((7, 2), np.float32)]}

    def predict_fn(w, x):
        mean = w * x["a"] + x["b"][0].sum(-1)
        return {"mean": mean, "is_high": mean > 4, "outer": x["b"][0][:, :, None] * w}

    weights = jnp.array([1.0, 2.0, 3.0])
    plain = ensemble_predict(weights, predict_fn, x)
    streamed = ensemble_predict(weights, predict_fn, x, batch_size=3)
    assert streamed["outer"].shape == (3, 7, 2, 1)
    assert streamed["is_high"].dtype == bool
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(streamed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_all_rows_at_once_may_lose_the_rows():
    weights = jnp.array([1.0, 2.0])
    total = ensemble_predict(weights, lambda w, x: w * x.sum(), jnp.ones(5))
    np.testing.assert_allclose(total, [5.0, 10.0])
    with pytest.raises(
        ValueError, match=r"one row for each of the 2 input rows, got shape \(\)"
    ):
        ensemble_predict(weights, lambda w, x: w * x.sum(), jnp.ones(5), batch_size=2)


def test_traced_once_for_each_function_and_shape():
    traces = []

    def predict_fn(w, x):
        traces.append(x.shape)
        return x @ w

    for seed in range(3):
        weights = jax.random.normal(jax.random.key(seed), (4, COLUMNS))
        ensemble_predict(weights, predict_fn, regression(20, seed=seed)[0], batch_size=8)
    assert traces == [(7, COLUMNS), (3, COLUMNS), (8, COLUMNS)]  # a few rows first
    ensemble_predict(weights, predict_fn, regression(21)[0], batch_size=8)
    assert traces[3:] == [(8, COLUMNS)]


def test_memory_is_that_of_a_block():
    """Hidden values of 64 units for 16 members: 205 MB for all rows, 0.5 MB for a block."""
    rows, batch_size = 50_000, 128

    def predict_fn(p, x):
        return jnp.tanh(jnp.tanh(x @ p["in"]) @ p["mid"]) @ p["out"]

    shapes = {"in": (16, 8, 64), "mid": (16, 64, 64), "out": (16, 64)}
    params = {k: jax.ShapeDtypeStruct(v, jnp.float32) for k, v in shapes.items()}
    x = jax.ShapeDtypeStruct((rows, 8), jnp.float32)

    def held(batch_size):
        fn = jax.jit(lambda p, x: ensemble_predict(p, predict_fn, x, batch_size=batch_size))
        return fn.lower(params, x).compile().memory_analysis().temp_size_in_bytes

    hidden = 4 * 16 * rows * 64
    assert held(None) > 0.5 * hidden
    assert held(batch_size) < 4 * hidden * batch_size / rows


def test_rows_that_see_each_other_are_not_cut():
    """Refused with the row; as a whole they are predicted. What is looked at is looked at once."""
    weights, x = jnp.ones((4, COLUMNS)), regression(40)[0]
    centered = lambda w, x: (x - x.mean(0)) @ w
    with pytest.raises(
        ValueError,
        match=r"Predictions in blocks of rows would differ.*'predict_fn': the value of row",
    ):
        ensemble_predict(weights, centered, x, batch_size=8)
    np.testing.assert_allclose(ensemble_predict(weights, centered, x).sum(1), 0, atol=1e-4)


def test_rows_are_looked_at_once(compiled):
    weights, x = jnp.ones((4, COLUMNS)), regression(40)[0]
    plain = lambda w, x: {"f": x @ w}
    ensemble_predict(weights, plain, x, batch_size=8)
    before = len(compiled)
    ensemble_predict(weights + 1, plain, x, batch_size=8)
    assert len(compiled) <= before + 1  # the sum of the weights
