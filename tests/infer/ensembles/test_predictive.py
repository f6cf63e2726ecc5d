"""Predictions of `EnsembleSVI`: the same in blocks as at once, and what they return."""

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

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def fitted():
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=3)
    return ensemble, ensemble.run(KEY, 300, X, Y, progress_bar=False)


def predict(fitted, x=X, **kwargs):
    ensemble, result = fitted
    return ensemble.predict(KEY, result, x, **{"num_samples": 5} | kwargs)


def test_shapes_and_sites(fitted):
    assert {n: v.shape for n, v in predict(fitted).items()} == {
        "f": (5, 3, 12),
        "y": (5, 3, 12),
    }
    asked = predict(fitted, return_sites=["w", "f"])
    assert {n: v.shape for n, v in asked.items()} == {"w": (5, 3, 2), "f": (5, 3, 12)}
    np.testing.assert_allclose(
        asked["f"], jnp.einsum("nd,sed->sen", X, asked["w"]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_blocks_have_the_same_weights(fitted, batch_size):
    """Twelve rows in blocks: the weights of a draw are the same in each block."""
    whole = predict(fitted, batch_size=12)["f"]
    np.testing.assert_allclose(
        predict(fitted, batch_size=batch_size)["f"], whole, rtol=1e-5, atol=1e-6
    )


def test_noise_differs_between_blocks(fitted):
    same_rows = jnp.tile(X[:1], (12, 1))
    draws = predict(fitted, same_rows, batch_size=4)
    noise = np.asarray(draws["y"] - draws["f"])
    assert len(np.unique(noise[0, 0])) == 12


@pytest.mark.filterwarnings("ignore:Found vars in model but not guide")
@pytest.mark.parametrize("new_rows", [None, True])
def test_what_the_guide_lacks_is_drawn_once_for_all_blocks(new_rows):
    """One shift for all rows of a draw and a member, which differs between these."""

    def partial(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1))
        shift = numpyro.sample("shift", dist.Normal(0, 1).expand([2]).to_event(1))
        with numpyro.plate("rows", len(x)):
            own = numpyro.sample("own", dist.Normal(0, 1e-3)) if new_rows else 0.0
            f = numpyro.deterministic("f", w * x[:, 0] + shift.sum() + own)
            numpyro.sample("y", dist.Normal(f, 1.0), obs=y)

    guide = lambda x, y=None: numpyro.sample(
        "w", dist.Delta(numpyro.param("at", jnp.ones(())))
    )
    ensemble = EnsembleSVI(partial, guide, optax.adam(0.05), num_members=2)
    result = ensemble.run(KEY, 2, X, Y, progress_bar=False)
    how = {"num_samples": 4, "return_sites": ["f", "shift"], "new_rows": new_rows}
    found = ensemble.predict(KEY, result, X, batch_size=5, **how)
    at = np.asarray(result.params["at"])[:, None]
    shift = np.asarray(found["f"] - at * X[:, 0])
    expected = np.asarray(found["shift"].sum(-1))[..., None]
    np.testing.assert_allclose(shift, np.broadcast_to(expected, shift.shape), atol=0.01)
    assert len(np.unique(expected.round(3))) == 8


def test_statistic(fitted):
    draws = predict(fitted)["f"]
    mean = predict(
        fitted, batch_size=5, statistic=lambda v: v.mean((0, 1)), return_sites=["f"]
    )
    np.testing.assert_allclose(mean["f"], draws.mean((0, 1)), rtol=1e-5, atol=1e-6)


def test_statistic_may_be_a_new_function_each_time(fitted, compiled):
    """It is called on arrays, with what it closes over now; no program is made or kept."""

    def powers(power):
        return predict(fitted, statistic=lambda v: (v**power).mean((0, 1)))["f"]

    draws = predict(fitted)["f"]
    powers(3.0)
    before, kept = len(compiled), len(fitted[0]._predictor._compiled)
    found = {power: powers(power) for power in (1.0, 2.0)}
    assert len(compiled) == before and len(fitted[0]._predictor._compiled) == kept
    for power, mean in found.items():
        np.testing.assert_allclose(mean, (draws**power).mean((0, 1)), rtol=1e-5)


def test_is_the_guide(fitted):
    """Means over 4,000 draws within 5 standard errors of the guide's (false alarm 6e-7)."""
    ensemble, result = fitted
    w = ensemble.predict(KEY, result, X[:1], num_samples=4000, return_sites=["w"])["w"]
    error = result.params["w_auto_scale"] / np.sqrt(4000)
    assert jnp.all(jnp.abs(w.mean(0) - result.params["w_auto_loc"]) < 5 * error)


def test_compiles_once(fitted):
    calls = 0

    def counted(x, y=None):
        nonlocal calls
        calls += 1
        model(x, y)

    ensemble = EnsembleSVI(counted, AutoDelta, optax.adam(0.05), num_members=2)
    result = ensemble.run(KEY, 2, X, Y, progress_bar=False)
    ensemble.predict(KEY, result, X, num_samples=2)
    before = calls
    ensemble.predict(KEY, result, X, num_samples=2)
    assert calls - before <= 2, "shapes are looked at, the program is kept"


def test_memory_is_bounded_by_a_block():
    """200,000 rows: the program of a block holds what 1,000 rows need."""
    from numpyro_bayeslayers.infer.ensembles._predictive import _compile
    from numpyro_bayeslayers.infer.ensembles._rows_of_fit import Told
    from numpyro_bayeslayers.infer.rows._arguments import take_apart

    ensemble = EnsembleSVI(model, AutoDelta, optax.adam(0.05), num_members=8)
    result = ensemble.run(KEY, 2, X, Y, progress_bar=False)
    drawn = ensemble._programs.latest.member.drawn
    parts = take_apart((jnp.ones((1000, 2)),), {})
    task = ensemble._predictor._task(drawn, result.params, parts, None, Told())
    draw = _compile(task, 4, 8, None)
    args = (result.params, KEY, *task.block(0, 1000))
    temporary = draw.compiled.lower(*args).compile().memory_analysis().temp_size_in_bytes
    assert temporary < 40 * 1000 * 8 * 4  # some tens of numbers for each row and member
    out = ensemble.predict(
        KEY,
        result,
        jnp.ones((200_000, 2)),
        num_samples=1,
        batch_size=1000,
        return_sites=["f"],
    )
    assert out["f"].shape == (1, 8, 200_000)


def test_to_arviz(fitted):
    arviz = pytest.importorskip("arviz")
    ensemble, result = fitted
    data = ensemble.to_arviz(result, X, num_samples=50)
    assert data.posterior["w"].shape == (3, 50, 2)
    assert list(data.posterior["w"].dims[:2]) == ["chain", "draw"]
    assert arviz.summary(data).shape[0] == 3


def test_refuses(fitted):
    with pytest.raises(
        ValueError, match=r"`return_sites` must be one of .* Did you mean 'f'"
    ):
        predict(fitted, return_sites=["ff"])
    with pytest.raises(ValueError, match="`num_samples` must be a positive integer, got 0"):
        predict(fitted, num_samples=0)
    with pytest.raises(RuntimeError, match="call `init` or `run` first"):
        EnsembleSVI(model, AutoDelta, optax.adam(0.1)).predict(KEY, fitted[1], X)
