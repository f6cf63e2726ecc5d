"""Predictions of labels, and of any site that grows with the rows."""

import copy
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import VI, Predictions, fit
from numpyro_bayeslayers.layers import categorical_link, logit_link, ordinal_link

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
ROWS = 12
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 2))
IS_ON = X[:, 0] + RNG.normal(size=ROWS) > 0
WORDS = np.array(["mild", "none", "severe"])[np.arange(ROWS) % 3]
POINT = VI(guide="delta")


def switch(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.deterministic("f", x @ w)
    return logit_link(x @ w, y)


def classes(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2, 3]).to_event(2))
    numpyro.deterministic("f", x @ w)
    return categorical_link(x @ w, y)


def test_switches():
    """The mean over draws of the logistic function of the predictor at the same draws.

    All methods are in test_matrix.py.
    """
    found = quiet(switch, y=IS_ON, x=X, num_steps=5, batch_size=4)
    told = found.predict(x=X[:5], num_samples=16)
    f = found.predict(x=X[:5], num_samples=16, site="f").samples
    p = (1 / (1 + np.exp(-np.asarray(f, float)))).mean(0)
    np.testing.assert_allclose(told.probabilities, np.stack([1 - p, p], 1), atol=1e-6)
    np.testing.assert_array_equal(told.mode, p > 0.5)
    assert told.classes == (False, True) and told.mode.dtype == bool
    assert told.samples.shape == f.shape
    # The predictor is linear in the rows: at unit rows it has the coefficients.
    w = found.predict(x=np.eye(2), num_samples=16, site="f").samples
    np.testing.assert_allclose(f, w @ X[:5].T, atol=1e-5)


def softmax(f):
    odds = np.exp(np.asarray(f, float))
    return odds / odds.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def worded():
    return quiet(classes, y=WORDS, x=X, num_steps=5)


def test_words(worded):
    """Columns are the words in order; parts of the rows give the same."""
    told = worded.predict(x=X, num_samples=20)
    right = softmax(worded.predict(x=X, num_samples=20, site="f").samples).mean(0)
    np.testing.assert_allclose(told.probabilities, right, atol=1e-6)
    assert told.classes == ("mild", "none", "severe") == worded.levels["y"]
    assert told.mode.tolist() == [told.classes[k] for k in right.argmax(1)]
    parts = worded.predict(x=X, num_samples=20, batch_size=5)
    np.testing.assert_allclose(parts.probabilities, right, atol=1e-6)
    # Frequencies of draws are the same but for chance: 4 standard errors of 4,000 draws.
    many = worded.predict(x=X, num_samples=4000)
    counted = np.stack([(many.samples == k).mean(0) for k in range(3)], 1)
    np.testing.assert_allclose(counted, many.probabilities, atol=4 * 0.5 / 4000**0.5)


def test_a_tuple_of_three_with_more_beside(worded):
    told = worded.predict(x=X[:4], num_samples=3)
    mean, std, samples = told
    assert isinstance(told, Predictions) and mean.shape == std.shape == (4,)
    assert samples is told.samples
    mapped = jax.tree.map(lambda x: x, told)
    for twin in (copy.copy(told), pickle.loads(pickle.dumps(told)), mapped):
        assert type(twin) is Predictions and twin.classes == told.classes
        np.testing.assert_array_equal(twin.probabilities, told.probabilities)
    doubled = jax.tree.map(lambda x: 2 * x, told)
    np.testing.assert_array_equal(doubled.probabilities, 2 * told.probabilities)


def test_numbers_have_none(worded):
    told = worded.predict(x=X, num_samples=2, site="f")
    for name in ("probabilities", "mode", "classes"):
        with pytest.raises(
            AttributeError, match=f"Only predictions of labels have `{name}`"
        ):
            getattr(told, name)
        assert not hasattr(told, name)
    assert jax.tree.map(lambda x: x, told).mean.shape == (ROWS, 3)


def test_other_labels():
    """Ordered ones, mixtures, several outputs; a level that no row has is a number."""

    def ordered(x, y=None):
        f = numpyro.sample("w", dist.Normal(0, 1)) * x[:, 0]
        return ordinal_link(f, y, 4)

    found = quiet(ordered, y=WORDS, x=X, num_steps=1, method=POINT)
    w = found.params["w_auto_loc"][0]
    draws = {n: x[0, 0] for n, x in found.draws(num_samples=1).items()}
    cuts = draws["obs.first_cut"] + np.append(0, np.cumsum(draws["obs.gaps"]))
    below = 1 / (1 + np.exp(np.asarray(w * X[:, :1] - cuts, float)))
    right = np.diff(np.pad(below, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))))
    told = found.predict(x=X, num_samples=2)
    np.testing.assert_allclose(told.probabilities, right, atol=1e-6)
    assert told.classes == ("mild", "none", "severe", 3)
    assert told.mode.tolist() == [told.classes[k] for k in right.argmax(1)]

    def outputs(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([2, 2]).to_event(2))
        share = jnp.array([0.25, 0.75])
        with numpyro.plate("outputs", 2, dim=-2), numpyro.plate("rows", len(x), dim=-1):
            both = jnp.stack([(x @ w).T, -(x @ w).T], -1)
            law = dist.MixtureSameFamily(
                dist.Categorical(share), dist.Bernoulli(logits=both).mask(True)
            )
            numpyro.sample("obs", law, obs=None if y is None else y.T)

    y = RNG.integers(0, 2, (ROWS, 2))
    found = quiet(outputs, y=y, x=X, num_steps=1, method=POINT)
    f = (X @ found.params["w_auto_loc"][0]).T
    p = 0.25 / (1 + np.exp(-f)) + 0.75 / (1 + np.exp(f))
    for size in (None, 5):
        told = found.predict(x=X, num_samples=2, batch_size=size)
        np.testing.assert_allclose(told.probabilities[..., 1], p, atol=1e-6)
        np.testing.assert_array_equal(told.mode, p > 0.5)


def test_latents_of_rows():
    """Rows of the fit have their own values, others are drawn from the prior."""

    def own(x, y=None):
        with numpyro.plate("rows", len(x)):
            effect = numpyro.sample("effect", dist.Normal(100.0, 1.0))
            numpyro.sample("obs", dist.Normal(effect, 1.0), obs=y)
        numpyro.sample("level", dist.Normal(0, 1))

    found = quiet(own, y=np.linspace(98, 102, ROWS), x=X[:, 0], num_steps=1, method=POINT)
    at = found.params["effect_auto_loc"][0]
    told = found.predict(x=X[3:5, 0], site="effect", num_samples=2)
    np.testing.assert_allclose(told.mean, at[3:5], rtol=1e-6)
    new = found.predict(x=np.arange(2.0), site="effect", num_samples=1000)
    # 5 standard errors of 1,000 draws.
    np.testing.assert_allclose(new.mean, 100.0, atol=5 / 1000**0.5)
    np.testing.assert_allclose(new.std, 1.0, atol=5 / 2000**0.5)
    with pytest.raises(ValueError, match=r"'level' does not: .* `draws` and `summary`"):
        found.predict(x=X[:, 0], site="level")
    with pytest.raises(ValueError, match=r"`site` .*'efect'. Did you mean 'effect'\?"):
        found.predict(x=X[:, 0], site="efect")
    with pytest.raises(ValueError, match=r"`site` must be one of \['obs'\]"):
        found.expected(x=X[:, 0], site="effect")


def across(x, y=None):
    """The rows are the second axis: two outputs for each, in front."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2, 2]).to_event(2))
    with numpyro.plate("rows", len(x)), numpyro.plate("twice", 2, dim=-2):
        numpyro.sample("y", dist.Normal(w @ x.T, 1.0), obs=y)


def jointly(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.sample("y", dist.Normal(x @ w, 1.0).to_event(1), obs=y)


@pytest.mark.parametrize(
    ("model", "rows", "why"),
    [
        (across, ROWS, "those of 'y' are axis 1"),
        (across, 2, "those of 'y' are axis 1"),  # as many rows as outputs
        (jointly, ROWS, "'y' has one for all of them"),
    ],
)
def test_a_density_of_rows_needs_them_first(model, rows, why):
    """They were taken from the first axis, whatever it was."""
    found = quiet(model, y=X[:rows, 0], x=X[:rows], method=POINT, num_steps=2)
    with pytest.raises(ValueError, match=f"`site` must have .*{why}"):
        found.log_density(y=X[:rows, 0], x=X[:rows], num_samples=2)
