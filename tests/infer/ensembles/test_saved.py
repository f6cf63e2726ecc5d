"""Results of ensembles in files: read back bit for bit, and gone on from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleMAP, EnsembleResult, EnsembleSVI

pytestmark = pytest.mark.usefixtures("as_users_run")


def model(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * x, 1.0), obs=y)


X = jnp.linspace(-1.0, 1.0, 10)


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(bits(a) == bits(b) for a, b in pairs)


def bits(array):
    is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(array) if is_key else array).tobytes()


def test_a_result_predicts_and_goes_on_elsewhere(tmp_path):
    """Another object, which has trained nothing, as another process would have it."""
    new = lambda: EnsembleSVI(model, AutoNormal, optax.adam(0.1), num_members=2)
    ensemble, other = new(), new()
    result = ensemble.run(0, 5, X, X, progress_bar=False)
    result.save(tmp_path / "result")
    plain = EnsembleResult.load(tmp_path / "result")
    assert plain.state is None
    assert same(plain[:2], result[:2])

    again = EnsembleResult.load(tmp_path / "result", state=other.init(1, X, X))
    assert jax.tree.structure(again.state) == jax.tree.structure(result.state)
    assert same(again, result)
    draws = [e.predict(2, r, X) for e, r in ((ensemble, result), (other, again))]
    assert same(*draws)
    with pytest.raises(ValueError, match="data"):  # the state knows what it is of
        other.run(0, 9, X, 2 * X, init_state=again.state, progress_bar=False)
    later = [e.update(r.state, X, X) for e, r in ((ensemble, result), (other, again))]
    assert same(*later)


def test_parameters_with_modules_need_their_structure(tmp_path):
    def start(key):
        return {"net": eqx.nn.Linear(1, 1, key=key), "log_scale": 0.0}

    def log_joint(params, x, y):
        found = jax.vmap(params["net"])(x[:, None])[:, 0]
        return -jnp.sum((y - found) ** 2), -(params["log_scale"] ** 2)

    ensemble = EnsembleMAP(log_joint, start, optax.adam(0.1), 2)
    result = ensemble.run(0, 3, X, X, progress_bar=False)
    path = tmp_path / "result"
    result.save(path)
    with pytest.raises(ValueError, match=r"`params` must be given: .* of type Linear"):
        EnsembleResult.load(path)
    state = ensemble.init(1)
    again = EnsembleResult.load(path, params=state.params, state=state)
    assert eqx.tree_equal(again.params, result.params)
    assert same(again, result)
    other = EnsembleMAP(log_joint, start, optax.adam(0.1), 3).init(1)
    with pytest.raises(
        ValueError, match=r"'log_scale'\] has the shape \(2,\) there, \(3,\) here"
    ):
        EnsembleResult.load(path, params=other.params)
    with pytest.raises(ValueError, match="`state` must have the same structure"):
        EnsembleResult.load(path, params=state.params, state=state.params)
