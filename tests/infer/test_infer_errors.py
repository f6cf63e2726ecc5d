"""What users can do wrong: each error names the argument, the value and the mend."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.optim
import optax
import pytest
from jaxtyping import config

from numpyro_bayeslayers.infer import (
    EnsembleMAP,
    ensemble_init,
    ensemble_loss,
    ensemble_map,
    ensemble_predict,
    ensemble_step,
)

from .problems import linear, linear_init, regression

X, Y = regression()
ADAM = optax.adam(0.1)


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Without the run-time checks of shapes, which have their own words for wrong kinds."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def run(num_epochs=3, x=X, y=Y, seed=0, log_joint=linear, **options):
    return EnsembleMAP(log_joint, linear_init, ADAM, 2).run(
        seed, num_epochs, x, y, **options
    )


def returning(value):
    return lambda w, x, y: value(w)


def with_nan(data, *where):
    data = data.copy()
    data[where] = np.nan
    return data


CASES = {
    "size zero": (
        lambda: EnsembleMAP(linear, linear_init, ADAM, 0),
        ValueError, "`ensemble_size` must be a positive integer, got 0",
    ),
    "size of init": (
        lambda: ensemble_init(linear_init, ADAM, ensemble_size=-1, seed=0),
        ValueError, "`ensemble_size` must be a positive integer, got -1",
    ),
    "size no integer": (
        lambda: EnsembleMAP(linear, linear_init, ADAM, 2.5),
        TypeError, r"`ensemble_size` must be a positive integer, got 2.5 \(float\)",
    ),
    "prior weight": (
        lambda: EnsembleMAP(linear, linear_init, ADAM, 2, -0.5),
        ValueError, "`prior_weight` must be zero or positive, got -0.5",
    ),
    "prior weight of loss": (
        lambda: ensemble_loss(linear, prior_weight=-1),
        ValueError, "`prior_weight` must be zero or positive, got -1",
    ),
    "log_joint": (
        lambda: EnsembleMAP(None, linear_init, ADAM),
        TypeError, "`log_joint` must be callable, got None",
    ),
    "init_fn": (
        lambda: EnsembleMAP(linear, np.ones(3), ADAM),
        TypeError, "`init_fn` must be callable",
    ),
    "optimizer of NumPyro": (
        lambda: EnsembleMAP(linear, linear_init, numpyro.optim.Adam(0.1)),
        TypeError, r"`optimizer` must be an optax GradientTransformation.*\(Adam\)",
    ),
    "optimizer not called": (
        lambda: ensemble_init(linear_init, optax.adam, ensemble_size=2, seed=0),
        TypeError, r"`optimizer` must be an optax .* got <function adam.*\(function\)",
    ),
    "optimizer of step": (
        lambda: ensemble_step(None, X, Y, log_joint=linear, optimizer="adam"),
        TypeError, "`optimizer` must be an optax GradientTransformation",
    ),
    "nothing to train": (
        lambda: ensemble_init(lambda key: jnp.arange(3), ADAM, ensemble_size=2, seed=0),
        ValueError, "`init_fn` must return at least one number or floating-point array",
    ),
    "epochs": (
        lambda: run(num_epochs=0),
        ValueError, "`num_epochs` must be a positive integer, got 0",
    ),
    "epochs no integer": (
        lambda: run(num_epochs=1e3),
        TypeError, r"`num_epochs` must be a positive integer, got 1000.0 \(float\)",
    ),
    "batch size": (
        lambda: run(batch_size=0),
        ValueError, "`batch_size` must be a positive integer, got 0",
    ),
    "batch size no integer": (
        lambda: run(batch_size=0.5),
        TypeError, "`batch_size` must be a positive integer, got 0.5",
    ),
    "seed": (
        lambda: run(seed="0"),
        TypeError, r"`seed` must be an integer or one random key, got '0' \(str\)",
    ),
    "several keys": (
        lambda: run(seed=jax.random.split(jax.random.key(0))),
        TypeError, r"`seed` must be an integer or one random key, got an array of shape \(2,\)",
    ),
    "seed true": (
        lambda: run(seed=True),
        TypeError, r"`seed` must be an integer or one random key, got True \(bool\)",
    ),
    "rows": (
        lambda: run(y=Y[:30]),
        ValueError, "same number of rows, but `x` has 40, `y` has 30 rows",
    ),
    "rows inside": (
        lambda: run(x={"a": X, "b": X[:5]}),
        ValueError, r"`x\['a'\]` has 40, `x\['b'\]` has 5, `y` has 40 rows",
    ),
    "rows of a batch": (
        lambda: ensemble_loss(linear)(jnp.ones(3), X, Y[:3]),
        ValueError, "same number of rows, but `x` has 40, `y` has 3 rows",
    ),
    "no row axis": (
        lambda: run(y=np.float32(1.0)),
        ValueError, "`y` must have a row axis, got a single number",
    ),
    "no rows": (
        lambda: run(x=X[:0], y=Y[:0]),
        ValueError, "The data must have at least one row",
    ),
    "no data": (
        lambda: run(x=None, y=None),
        ValueError, "`x` and `y` must contain at least one array",
    ),
    "NaN in x": (
        lambda: run(x=with_nan(X, 7, 1)),
        ValueError, r"`x` has 1 entries that are NaN or infinite \(column 1, first in row 7\)",
    ),
    "NaN in y": (
        lambda: run(y=with_nan(Y, 4)),
        ValueError, r"`y` has 1 entries that are NaN or infinite \(row 4\)",
    ),
    "NaN inside": (
        lambda: run(x={"a": X, "b": with_nan(X, 0, 2)}),
        ValueError, r"`x\['b'\]` has 1 entries .*column 2",
    ),
    "rows not summed": (
        lambda: run(log_joint=lambda w, x, y: (-((y - x @ w) ** 2), 0.0)),
        ValueError, r"must return two scalars, .* got 2 values of shapes \(40,\), \(\)\. Sum",
    ),
    "parameters not summed": (
        lambda: run(log_joint=returning(lambda w: (w.sum(), w))),
        ValueError, r"must return two scalars, .* got 2 values of shapes \(\), \(3,\)",
    ),
    "three terms": (
        lambda: run(log_joint=returning(lambda w: (w.sum(),) * 3)),
        ValueError, r"must return two scalars, .* got 3 values of shapes \(\), \(\), \(\)",
    ),
    "one term": (
        lambda: run(log_joint=returning(jnp.sum)),
        ValueError, r"must return two scalars, \(loglik, logprior\), got one .* of shape \(\)",
    ),
    "no term": (
        lambda: run(log_joint=returning(lambda w: None)),
        ValueError, "must return two scalars, .* got one NoneType",
    ),
    "data": (
        lambda: ensemble_map(
            linear, linear_init, ensemble_size=2, num_epochs=1, data=(X, Y, Y), seed=0
        ),
        ValueError, r"`data` must be the pair \(x, y\), got tuple of 3",
    ),
    "learning rate": (
        lambda: ensemble_map(
            linear, linear_init, ensemble_size=2, num_epochs=1, data=(X, Y), seed=0,
            learning_rate=0.0,
        ),
        ValueError, "`learning_rate` must be positive and finite, got 0.0",
    ),
    "predict_fn": (
        lambda: ensemble_predict(jnp.ones((2, 3)), None, X),
        TypeError, "`predict_fn` must be callable",
    ),
    "batch size of predictions": (
        lambda: ensemble_predict(jnp.ones((2, 3)), jnp.dot, X, batch_size=0),
        ValueError, "`batch_size` must be a positive integer, got 0",
    ),
    "members": (
        lambda: ensemble_predict({"a": jnp.ones(2), "b": jnp.ones(3)}, jnp.dot, X),
        ValueError, r"must all have the same first axis.* got shapes \(2,\), \(3,\)",
    ),
    "no members": (
        lambda: ensemble_predict({"a": None}, jnp.dot, X),
        ValueError, "must all have the same first axis, that of the members, got shapes none",
    ),
    "rows of predictions": (
        lambda: ensemble_predict(jnp.ones((2, 3)), jnp.dot, {"a": X, "b": Y[:2]}),
        ValueError, r"`x_new\['a'\]` has 40, `x_new\['b'\]` has 2 rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_error(case):
    call, kind, words = CASES[case]
    with pytest.raises(kind, match=words):
        call()


def test_optimizer_is_anything_with_init_and_update():
    class Descent:
        def init(self, params):
            return ()

        def update(self, updates, state, params=None):
            return jax.tree.map(lambda g: -0.01 * g, updates), state

    found = EnsembleMAP(linear, linear_init, Descent(), 2).run(0, 5, X, Y)
    expected = EnsembleMAP(linear, linear_init, optax.sgd(0.01), 2).run(0, 5, X, Y)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-6)
