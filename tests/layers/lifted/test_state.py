"""Modules with a state: kept from step to step by an ensemble, and used in its predictions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed
from numpyro.infer.autoguide import AutoDelta

from numpyro_bayeslayers.infer import (
    MCMC,
    Ensemble,
    EnsembleMAP,
    EnsembleSVI,
    fit,
    load,
    log_joint_of,
)
from numpyro_bayeslayers.layers import lift

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(5.0, 2.0, size=(20, 2)).astype(np.float32)
Y = np.sin(X[:, 0]).astype(np.float32)


class Net(eqx.Module):
    norm: eqx.nn.BatchNorm
    lin: eqx.nn.Linear

    def __init__(self, mode="batch"):
        self.norm = eqx.nn.BatchNorm(2, axis_name="rows", mode=mode, momentum=0.8)
        self.lin = eqx.nn.Linear(2, 1, key=KEY)

    def __call__(self, x, state):
        x, state = self.norm(x, state)
        return self.lin(x), state


MODULE, STATE = eqx.nn.make_with_state(Net)()
NET = lift(MODULE, {"norm.*": None, "*": dist.Normal(0, 1)}, name="net", state=STATE)


def model(x, y=None):
    f = numpyro.deterministic("f", NET(x)[:, 0])
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, 0.3), obs=y)


STEPS = 3


@pytest.fixture(scope="module")
def trained():
    svi = EnsembleSVI(model, AutoDelta, optax.adam(0.05), num_members=2)
    return svi, svi.run(0, STEPS, X, Y, progress_bar=False)


def norm_by_hand(x):
    """Batch statistics of all steps, and of the start, which runs the model once."""
    mean, var = np.zeros(2), np.ones(2)
    for _ in range(STEPS + 1):
        mean = 0.8 * mean + 0.2 * X.mean(0)
        var = 0.8 * var + 0.2 * X.var(0)
    scale = 1 - 0.8 ** (STEPS + 1)
    return (x - mean / scale) / np.sqrt(var / scale + 1e-5)


def test_predictions_are_by_the_running_statistics(trained):
    """One row at a time, and all at once: the same, to rounding."""
    svi, result = trained
    whole = svi.predict(1, result, X, num_samples=1, return_sites=["f"])["f"][0]
    one = svi.predict(1, result, X[7:8], num_samples=1, return_sites=["f"])["f"][0]
    np.testing.assert_allclose(one[:, 0], whole[:, 7], rtol=1e-5)
    for e in range(2):
        weight = np.asarray(result.params["net.lin.weight_auto_loc"][e], float)
        bias = np.asarray(result.params["net.lin.bias_auto_loc"][e], float)
        right = norm_by_hand(X.astype(float)) @ weight[0] + bias
        np.testing.assert_allclose(whole[e], right, rtol=1e-3, atol=1e-3)


def test_the_loss_is_that_of_the_batch():
    """Before the first step: rows less their own mean, in units of their own deviation."""
    again = EnsembleSVI(model, AutoDelta, optax.sgd(0.0), num_members=2)
    found = again.run(0, 1, X, Y, progress_bar=False)
    weight = np.asarray(found.params["net.lin.weight_auto_loc"], float)[:, 0]
    bias = np.asarray(found.params["net.lin.bias_auto_loc"], float)
    x = (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5)
    away = (Y - (weight @ x.T + bias)) / 0.3
    logs = -0.5 * (away**2).sum(1) - 20 * np.log(0.3) - 10 * np.log(2 * np.pi)
    prior = -0.5 * ((weight**2).sum(1) + bias[:, 0] ** 2) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found.losses[:, 0], -(logs + prior), rtol=1e-4)


def test_outside_of_an_objective_the_state_stays():
    """As a draw of the prior: by the first state, whose mean is zero and variance one."""
    drawn = numpyro.handlers.trace(seed(model, 0)).get_trace(X)
    weight, bias = drawn["net.lin.weight"]["value"], drawn["net.lin.bias"]["value"]
    right = X / np.sqrt(1 + 1e-5) @ np.asarray(weight)[0] + np.asarray(bias)
    np.testing.assert_allclose(drawn["f"]["value"], right, rtol=1e-4, atol=1e-4)
    kept = drawn["net.state"]["value"]["leaves"]
    for leaf, first in zip(kept, jax.tree.leaves(STATE), strict=True):
        np.testing.assert_array_equal(leaf, first)


def test_fits_in_minibatches_are_kept_in_files(tmp_path):
    method = Ensemble(guide="delta", num_members=2, optim=0.05)
    how = {"num_steps": 4, "batch_size": 10, "progress_bar": False}
    found = fit(model, y=Y, x=X, method=method, **how)
    found.save(tmp_path / "net.fit")
    again = load(tmp_path / "net.fit", model)
    got, right = (f.predict(x=X, num_samples=2).samples for f in (again, found))
    assert np.asarray(got).tobytes() == np.asarray(right).tobytes()
    with pytest.raises(ValueError, match=r"net\.state"):
        fit(model, y=Y, x=X, method=MCMC(num_warmup=1, num_samples=1))


class Spectral(eqx.Module):
    layer: eqx.nn.SpectralNorm

    def __init__(self):
        linear = eqx.nn.Linear(2, 3, key=KEY)
        self.layer = eqx.nn.SpectralNorm(linear, "weight", key=KEY)

    def __call__(self, x, state):
        return self.layer(x, state)


def test_spectral_normalization():
    """After some steps at one weight the largest singular value is one."""
    module, state = eqx.nn.make_with_state(Spectral)()
    net = lift(module, {"*weight": dist.Normal(0, 1), "*": None}, name="s", state=state)

    def model(x, y=None):
        out = numpyro.deterministic("out", net(x))
        numpyro.sample("y", dist.Normal(out, 1.0).to_event(2), obs=y)

    svi = EnsembleSVI(model, AutoDelta, optax.sgd(0.0), num_members=2)
    result = svi.run(0, 40, X, np.zeros((20, 3)), progress_bar=False)
    out = svi.predict(1, result, X, num_samples=1, return_sites=["out"])["out"][0]
    for e in range(2):
        weight = np.asarray(result.params["s.layer.layer.weight_auto_loc"][e], float)
        largest = np.linalg.svd(weight)[1][0]
        bias = np.asarray(module.layer.layer.bias, float)
        np.testing.assert_allclose(
            out[e], X @ (weight / largest).T + bias, rtol=1e-3, atol=1e-3
        )


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    table = {"norm.*": None, "*": dist.Normal(0, 1)}
    with pytest.raises(TypeError, match=r"`state` must be the equinox\.nn\.State"):
        lift(MODULE, table, state=0)
    with pytest.raises(ValueError, match="`state` must be left out"):
        lift(eqx.nn.Linear(2, 1, key=KEY), {"*": dist.Normal(0, 1)}, state=STATE)
    with (
        numpyro.plate("groups", 2),
        pytest.raises(ValueError, match="cannot be in a plate"),
    ):
        seed(NET, 0)(X)


@pytest.mark.usefixtures("as_users_run")
def test_ensembles_of_modes_refuse_a_state():
    """`EnsembleMAP` has no place for it: it would be trained as the weights are."""
    log_joint = lambda params, x, y: (jnp.zeros(()), jnp.zeros(()))
    init = lambda key: eqx.nn.make_with_state(Net)()
    ensemble = EnsembleMAP(log_joint, init, optax.sgd(0.1), 2)
    with pytest.raises(
        ValueError, match=r"not return an `equinox\.nn\.State`.* use `EnsembleSVI"
    ):
        ensemble.init(0)
    with pytest.raises(ValueError, match=r"does not keep .*net\.state.* Use `EnsembleSVI`"):
        log_joint_of(model, X, Y)


class Digits(eqx.Module):
    first: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    second: eqx.nn.Conv2d
    other: eqx.nn.BatchNorm
    last: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        how = {"axis_name": "rows", "mode": "batch", "momentum": 0.9}
        norm = lambda size: eqx.nn.BatchNorm(size, **how)
        self.first = eqx.nn.Conv2d(1, 8, 3, padding=1, use_bias=False, key=keys[0])
        self.norm, self.other = norm(8), norm(16)
        self.second = eqx.nn.Conv2d(8, 16, 3, stride=2, use_bias=False, key=keys[1])
        self.last = eqx.nn.Linear(16 * 9, 10, key=keys[2])

    def __call__(self, x, state):
        x, state = self.norm(self.first(x), state)
        x, state = self.other(self.second(jax.nn.relu(x)), state)
        return self.last(jax.nn.relu(x).ravel()), state


@pytest.mark.slow
def test_a_convolutional_network_of_digits():
    """Four networks of batch-normalized convolutions, on a third of the digits held out.

    Accuracy at least 97%, expected calibration error below 0.03 in fifteen bins; each row by
    itself has the logits that it has among all. A prior that holds the last weights near zero
    makes the network too unsure, and running statistics that remember larger weights are wrong:
    hence their momentum, and steps that fall to zero.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1200], order[1200:]
    module, state = eqx.nn.make_with_state(Digits)(KEY)
    prior = lambda shape: dist.Normal(0, np.prod(shape[1:]) ** -0.5)
    wide = dist.Normal(0, 1)
    table = {"*norm*": None, "*other*": None, "last.*": wide, "*.weight": prior}
    net = lift(module, table, in_ndim=3, name="net", state=state)

    def model(x, y=None):
        logits = numpyro.deterministic("logits", net(x))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Categorical(logits=logits), obs=y)

    optim = optax.adam(optax.cosine_decay_schedule(0.01, 300))
    svi = EnsembleSVI(model, AutoDelta, optim, num_members=4)
    run = svi.run(0, 300, images[train], labels[train], batch_size=100, progress_bar=False)
    predict = lambda x: svi.predict(1, run, x, num_samples=1, return_sites=["logits"])[
        "logits"
    ]
    logits = np.asarray(predict(images[test]))[0]
    for row in (0, 1, 2):
        alone = np.asarray(predict(images[test][row : row + 1]))[0, :, 0]
        np.testing.assert_allclose(alone, logits[:, row], rtol=1e-3, atol=1e-3)
    chance = np.asarray(jax.nn.softmax(jnp.asarray(logits), -1)).mean(0)
    sure, right = chance.max(-1), chance.argmax(-1) == labels[test]
    assert right.mean() >= 0.97
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [
        abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    assert sum(gaps) < 0.03
