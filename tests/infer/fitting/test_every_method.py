"""Each way to an ensemble, from `fit` to a file and back: predictions, scores, diagnostics."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import anchored, mc_dropout
from numpyro_bayeslayers.infer import (
    SGMCMC,
    SWAG,
    VI,
    Ensemble,
    Laplace,
    Modes,
    SampledEnsemble,
    fit,
    load,
    repulsive,
    stack,
)
from tests.quick import mostly_slow

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY, MEMBERS = jax.random.key(0), 2
X = np.linspace(-1, 1, 8).reshape(-1, 1)
Y = (X[:, 0] > 0).astype(int)


def plain(x, y=None):
    f = layers.DenseReparameterization(1, 2, name="f")(x)
    layers.categorical_link(numpyro.deterministic("logits", f), y, name="y")


def of_members(layer):
    """A model whose members are rows of one layer, mixed in what is observed."""

    def model(x, y=None):
        f = layer(layers.tile_members(x, MEMBERS))
        with numpyro.plate("rows", len(x)):
            layers.observe_members("y", dist.Categorical(logits=f), y)

    return model


def masked(x):
    masks = layers.Masksembles(MEMBERS, 1.5, 3, key=KEY)
    h = masks(layers.DenseReparameterization(1, 3, name="h")(x))
    return layers.DenseReparameterization(3, 2, name="f")(h)


def mimo(x, y=None):
    parts = layers.MIMO(MEMBERS)
    network = layers.DenseReparameterization(MEMBERS, 2 * MEMBERS, name="f")
    f = jnp.moveaxis(parts(network, x), 0, 1)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Categorical(logits=f).to_event(1), obs=y)


def sngp(x, y=None):
    gp = layers.RandomFeatureGaussianProcess.init(1, 2, 3, key=KEY, name="gp")
    dense = layers.DenseReparameterization(1, 1, name="h")
    h = x + jnp.tanh(layers.SpectralNormalization(dense, name="bounded")(x))
    layers.categorical_link(gp(h), y, name="y")


def last_layer(x, y=None):
    f = layers.VariationalLastLayerClassifier(1, 2, name="f")(x)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", f.categorical(), obs=y)


def epinet(x, y=None):
    more = layers.EpinetLayer.init(1, 2, 2, 3, 1, key=KEY, name="epinet")
    f = layers.DenseReparameterization(1, 2, name="f")(x) + more(x)
    layers.categorical_link(f, y, name="y")


POINT = VI(guide="delta")
APART = repulsive(space="functions", function="logits", rows={"x": X + 2})
TWO = Modes(num_members=MEMBERS)
SGD = Modes(num_members=MEMBERS, optim=optax.sgd(1e-2))
CASES = {
    "modes": (plain, TWO),
    "repulsive": (plain, Modes(num_members=MEMBERS, repulsion=APART)),
    "anchored": (anchored(plain), TWO),
    "dropout": (mc_dropout(plain, 0.1, shared=True), Ensemble(num_members=MEMBERS)),
    "batch ensemble": (
        of_members(layers.DenseBatchEnsemble(1, 2, MEMBERS, name="f")),
        POINT,
    ),
    "rank one": (of_members(layers.DenseRank1(1, 2, MEMBERS, name="f")), VI()),
    "masksembles": (of_members(masked), POINT),
    "mimo": (mimo, POINT),
    "sngp": (sngp, POINT),
    "last layer": (last_layer, POINT),
    "epinet": (epinet, POINT),
    "laplace": (plain, Laplace(num_members=MEMBERS)),
    "swag": (plain, SWAG(base=SGD, rank=2, start=0.2, every=1)),
    "sampled": (
        plain,
        SampledEnsemble(num_members=MEMBERS, num_warmup=50, num_samples=20, kernel=NUTS),
    ),
    "sgmcmc": (
        plain,
        SGMCMC(num_members=MEMBERS, num_samples=8, num_steps=1, cycles=None),
    ),
}
FAST = ("anchored", "batch ensemble", "last layer")


@pytest.mark.parametrize("name", mostly_slow(CASES, FAST))
def test_fit_save_load_and_diagnostics(name, tmp_path):
    """Predictions after `load` are those before it, to the last bit; figures are there."""
    model, method = CASES[name]
    rows = {"x": X, "y": Y}
    if name == "mimo":
        rows = dict(zip("xy", layers.MIMO(MEMBERS).group(X, Y, key=KEY), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few steps are no fit
        found = fit(model, method=method, num_steps=6, progress_bar=False, **rows)
    found.save(tmp_path / "a.fit")
    again = load(tmp_path / "a.fit", model)
    assert type(again.method) is type(method)
    told, there = (f.predict(x=rows["x"], num_samples=4) for f in (found, again))
    assert np.asarray(there.samples).tobytes() == np.asarray(told.samples).tobytes()
    if name != "mimo":  # whose observations are several labels at once
        np.testing.assert_array_equal(there.probabilities, told.probabilities)
        np.testing.assert_allclose(told.probabilities.sum(-1), 1.0, rtol=1e-5)
    scores = found.log_density(**rows, num_samples=4)
    assert scores.shape == (8,) and np.isfinite(scores).all() and (scores <= 0).all()
    ended = found.diagnostics()
    assert ended.not_finite == ()
    if found.params:
        size = getattr(method, "num_members", 1)
        assert ended.slope.shape == ended.pareto_k.shape == (size,)
        assert (ended.log_evidence is not None) == (name == "laplace")
    else:
        assert ended.r_hat > 0 and ended.n_eff > 0


@pytest.mark.slow
def test_members_of_each_are_stacked():
    """Weights of the members, and predictions by them, of methods that have several."""
    for name in ("modes", "laplace", "swag", "sampled"):
        model, method = CASES[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = fit(model, y=Y, x=X, method=method, num_steps=6, progress_bar=False)
        whole = stack(found, y=Y[::2], x=X[::2] + 0.1, num_samples=4)
        assert whole.weights.shape == (MEMBERS,)
        chances = whole.predict(x=X, num_samples=8).probabilities
        np.testing.assert_allclose(chances.sum(-1), 1.0, rtol=1e-5)
