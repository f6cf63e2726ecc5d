"""What `EnsembleMAP` finds: closed forms, separate fits, and every kind of parameter."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from numpyro_bayeslayers.infer import (
    EnsembleMAP,
    EnsembleState,
    ensemble_init,
    ensemble_loss,
    ensemble_map,
    ensemble_step,
)
from tests.infer.problems import (
    COLUMNS,
    assert_close,
    assert_same,
    ensemble_of,
    linear,
    linear_init,
    member,
    regression,
    ridge,
    step_size,
)


@pytest.mark.parametrize("prior_weight", [0.0, 1.0, 5.0])
def test_finds_ridge_regression(prior_weight):
    x, y = regression()
    optimizer = optax.sgd(step_size(x, prior_weight))
    ensemble = EnsembleMAP(linear, linear_init, optimizer, 5, prior_weight)
    result = ensemble.run(0, 300, x, y, progress_bar=False)
    assert result.params.shape == (5, COLUMNS)
    assert result.losses.shape == (5, 300)
    expected = np.tile(ridge(x, y, prior_weight), (5, 1))
    np.testing.assert_allclose(result.params, expected, rtol=1e-4)
    assert (np.diff(result.losses, axis=1) <= 1e-4).all()


def test_one_shot_is_the_object():
    x, y = regression()
    fit = functools.partial(
        ensemble_map, linear, linear_init,
        ensemble_size=3, num_epochs=20, data=(x, y), seed=7, batch_size=8,
    )  # fmt: skip
    params, losses = fit()
    result = EnsembleMAP(linear, linear_init, optax.adam(0.005), 3).run(
        7, 20, x, y, batch_size=8
    )
    assert_same((params, losses), result[:2])
    params, losses = fit(learning_rate=9.0, optimizer=optax.adam(0.005))
    assert_same((params, losses), result[:2])


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_members_are_separate_fits(kind):
    """Equal but for the rounding of batched products."""
    x, y = regression()
    together, alone = ensemble_of(kind), ensemble_of(kind, 1)
    state = together.init(0)
    singles = [member(state, e) for e in range(4)]
    for _ in range(25):
        state, losses = together.update(state, x, y)
        for e in range(4):
            singles[e], loss = alone.update(singles[e], x, y)
            np.testing.assert_allclose(loss[0], losses[e], rtol=1e-4)
    for e in range(4):
        assert_close(member(state.params, e), singles[e].params, rtol=2e-3, atol=1e-4)


def test_loss_is_the_formula():
    x, y = regression()
    w = jnp.array([1.0, -2.0, 0.5])
    loss, grad = ensemble_loss(linear, prior_weight=3.0, scale=2.0)(w, x, y)
    residual = y - x @ np.asarray(w)
    np.testing.assert_allclose(loss, residual @ residual + 1.5 * (w @ w), rtol=1e-5)
    np.testing.assert_allclose(grad, -2 * x.T @ residual + 3 * w, rtol=1e-4)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_prior_of_weight_zero_is_left_out(bad):
    def log_joint(w, x, y):
        return linear(w, x, y)[0], bad * jnp.sum(jnp.sqrt(w - w))

    x, y = regression()
    loss, grad = ensemble_loss(log_joint, prior_weight=0)(jnp.ones(COLUMNS), x, y)
    assert np.isfinite(loss)
    assert np.isfinite(grad).all()
    result = EnsembleMAP(log_joint, linear_init, optax.sgd(step_size(x)), 2, 0).run(
        0, 300, x, y
    )
    np.testing.assert_allclose(result.params[0], ridge(x, y, 0.0), rtol=1e-3)


def test_first_losses_are_those_before_the_update():
    x, y = regression()
    ensemble = EnsembleMAP(linear, linear_init, optax.sgd(0.01), 3)
    start = ensemble.init(0)
    expected = [-sum(linear(w, x, y)) for w in start.params]
    state, losses = ensemble_step(start, x, y, log_joint=linear, optimizer=optax.sgd(0.01))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(ensemble.run(0, 1, x, y).losses[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(ensemble.update(start, x, y)[1], expected, rtol=1e-5)
    assert isinstance(state, EnsembleState)


def test_numbers_are_trained_and_other_leaves_shared():
    def init_fn(key):
        return {
            "slope": 0.0,
            "drawn": jax.random.normal(key),
            "offset": 2,
            "numpy": np.float32(0.5),
            "array": np.zeros(2, np.float32),
            "index": jnp.arange(2),
            "flag": True,
            "name": "line",
            "link": jnp.tanh,
            "none": None,
        }

    def log_joint(p, x, y):
        assert p["flag"] is True
        assert p["name"] == "line"
        f = (
            (p["slope"] + p["drawn"]) * x
            + p["offset"]
            + p["numpy"]
            + p["array"][p["index"]].sum()
        )
        return -jnp.sum((y - p["link"](f)) ** 2), 0.0

    x = np.linspace(-1, 1, 20, dtype=np.float32)
    y = np.tanh(0.7 * x - 0.2)
    ensemble = EnsembleMAP(log_joint, init_fn, optax.adam(0.05), 3)
    start, result = ensemble.init(0), ensemble.run(0, 400, x, y)
    for name in ("slope", "offset", "numpy", "array"):
        assert result.params[name].shape[0] == 3
        assert jnp.issubdtype(result.params[name].dtype, jnp.floating)
        assert not np.allclose(result.params[name], start.params[name])
    np.testing.assert_array_equal(result.params["index"], [[0, 1]] * 3)
    assert result.params["link"] is jnp.tanh
    assert result.params["none"] is None
    slopes = result.params["slope"] + result.params["drawn"]
    np.testing.assert_allclose(slopes, 0.7, atol=0.02)


def test_equinox_modules():
    x, y = regression()
    result = ensemble_of("mlp").run(0, 300, x, y)
    assert isinstance(result.params, eqx.nn.MLP)
    assert result.params.layers[0].weight.shape == (4, 8, COLUMNS)
    assert (result.losses[:, -1] < 0.5 * result.losses[:, 0]).all()
    starts = ensemble_of("mlp").init(0).params.layers[0].weight
    assert len(np.unique(starts[:, 0, 0])) == 4


def test_data_can_be_pytrees():
    x, y = regression()
    tree = {"left": x[:, :1], "right": [x[:, 1:]]}

    def log_joint(w, x, y):
        return linear(w, jnp.concatenate([x["left"], x["right"][0]], 1), y["y"])

    optimizer = optax.sgd(0.01)
    for batch_size in (None, 16):
        expected = EnsembleMAP(linear, linear_init, optimizer, 2).run(
            0, 30, x, y, batch_size=batch_size
        )
        found = EnsembleMAP(log_joint, linear_init, optimizer, 2).run(
            0, 30, tree, {"y": y}, batch_size=batch_size
        )
        np.testing.assert_allclose(found.params, expected.params, rtol=1e-5)


def test_data_without_outputs():
    def log_joint(mean, x, y):
        assert y is None
        return -0.5 * jnp.sum((x - mean) ** 2), 0.0

    x = np.arange(10.0, dtype=np.float32)
    params, _ = ensemble_map(
        log_joint, jax.random.normal, ensemble_size=2, num_epochs=50, data=(x, None), seed=0,
        optimizer=optax.sgd(0.1),
    )  # fmt: skip
    np.testing.assert_allclose(params, x.mean(), rtol=1e-5)


def test_optimizer_that_asks_for_the_loss():
    x, y = regression()
    result = EnsembleMAP(linear, linear_init, optax.lbfgs(), 3).run(0, 15, x, y)
    np.testing.assert_allclose(result.params, np.tile(ridge(x, y, 1.0), (3, 1)), rtol=1e-4)


def test_larger_ensemble_begins_with_the_smaller():
    few = ensemble_init(linear_init, optax.adam(0.1), ensemble_size=3, seed=5)
    many = ensemble_init(linear_init, optax.adam(0.1), ensemble_size=8, seed=5)
    np.testing.assert_array_equal(many.params[:3], few.params)


def test_seed_is_an_integer_or_a_key():
    x, y = regression()
    ensemble = EnsembleMAP(linear, linear_init, optax.adam(0.1), 2)
    expected = ensemble.run(3, 4, x, y, batch_size=5)
    for seed in (np.int64(3), jnp.asarray(3), jax.random.key(3), jax.random.PRNGKey(3)):
        assert_same(ensemble.run(seed, 4, x, y, batch_size=5), expected)


def test_float_types_stay():
    x, y = regression()
    with jax.enable_x64(True):
        for dtype in (np.float32, np.float64):
            ensemble = EnsembleMAP(
                linear,
                lambda key, d=dtype: jax.random.normal(key, (COLUMNS,), d),
                optax.adam(0.1),
                2,
            )
            result = ensemble.run(0, 3, x.astype(dtype), y.astype(dtype), batch_size=10)
            assert result.params.dtype == dtype
            assert result.losses.dtype == dtype
            _, losses = ensemble.update(ensemble.init(0), x.astype(dtype), y.astype(dtype))
            assert losses.dtype == dtype
