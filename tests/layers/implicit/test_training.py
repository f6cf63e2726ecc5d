"""Implicit ensembles in the inference of the library: their mixture is what is fitted."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
import scipy.special
import scipy.stats
from numpyro.handlers import condition
from numpyro.infer import MCMC, NUTS
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density

from numpyro_bayeslayers.distributions import EnsembleMixture
from numpyro_bayeslayers.infer import VI, EnsembleSVI, fit
from numpyro_bayeslayers.layers import (
    DenseBatchEnsemble,
    DenseRank1,
    observe_members,
    tile_members,
)

MEMBERS = 3
X = np.linspace(-2, 2, 24, dtype=np.float32)[:, None]
Y = np.sin(2 * X[:, 0])
HIDDEN = DenseBatchEnsemble(1, 4, MEMBERS, prior_scale="fan_in", name="hidden")
OUT = DenseBatchEnsemble(4, 1, MEMBERS, prior_scale="fan_in", name="out")


def model(x, y=None):
    h = jnp.tanh(HIDDEN(tile_members(x, MEMBERS)))
    f = numpyro.deterministic("f", OUT(h)[..., 0])
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(x)):
        observe_members("y", dist.Normal(f, sigma), y)


@pytest.fixture(scope="module")
def found():
    how = {"method": VI(guide="delta", optim=0.05), "num_steps": 60, "batch_size": 12}
    return fit(model, y=Y, x=X, progress_bar=False, **how)


def mixture_log_density(f, sigma, y):
    """Of members (e, n), by SciPy."""
    parts = scipy.stats.norm.logpdf(y, np.asarray(f, float), float(sigma))
    return scipy.special.logsumexp(parts, axis=0) - np.log(len(f))


@pytest.mark.parametrize("each", [True, False])
def test_each_member_is_fitted_or_their_mixture(each):
    """The log joint density by SciPy: the mean of logs, or the log of the mean."""
    f = np.random.default_rng(0).normal(size=(MEMBERS, len(Y)))

    def rows(y):
        with numpyro.plate("rows", len(y)):
            observe_members("y", dist.Normal(f, 0.5), y, each=each)

    found, sites = log_density(rows, (Y,), {}, {})
    mixture = mixture_log_density(f, 0.5, Y)
    mean = scipy.stats.norm.logpdf(Y, f, 0.5).mean(0)
    np.testing.assert_allclose(found, (mean if each else mixture).sum(), rtol=1e-5)
    np.testing.assert_allclose(sites["y"]["fn"].log_prob(Y), mixture, rtol=1e-4)


@pytest.mark.usefixtures("as_users_run")
def test_members_that_are_none_are_refused():
    with pytest.raises(TypeError, match="`component_distribution` must be a"):
        observe_members("y", Y, Y)
    with pytest.raises(ValueError, match="must lead with a batch axis of at least one mem"):
        observe_members("y", dist.Normal(0.0, 1.0), Y)
    with pytest.raises(TypeError, match="`each` must be True or False"):
        observe_members("y", dist.Normal(Y, 1.0), Y, each=1)


def test_fit_scores_rows_by_the_mixture_of_members(found):
    """Trained in minibatches; a delta guide has one draw."""
    losses = np.asarray(found.losses[0])
    assert losses[-10:].mean() < losses[:10].mean()
    f = found.predict(x=X[:5], site="f", num_samples=1).samples
    assert f.shape == (1, MEMBERS, 5)
    assert np.std(f, axis=1).min() > 0.0
    sigma = found.draws(num_samples=1)["sigma"].squeeze()
    scores = found.log_density(y=Y[:5], x=X[:5], num_samples=2)
    np.testing.assert_allclose(scores, mixture_log_density(f[0], sigma, Y[:5]), rtol=1e-3)


def test_predictions_are_draws_of_the_mixture(found):
    draws = found.predict(x=X[:5], num_samples=2000).samples
    f = np.asarray(found.predict(x=X[:5], site="f", num_samples=1).samples[0])
    sigma = float(found.draws(num_samples=1)["sigma"].squeeze())
    spread = np.sqrt(sigma**2 + f.var(0))
    # Five standard errors: false alarms below 1e-5.
    assert (np.abs(draws.mean(0) - f.mean(0)) < 5 * spread / 2000**0.5).all()


@pytest.mark.slow
def test_labels_have_the_mean_of_the_probabilities_of_members():
    """By NumPy at the logits of a point; words in the fit are words in predictions."""
    out = DenseBatchEnsemble(4, 2, MEMBERS, prior_scale="fan_in", name="out")

    def labels(x, y=None):
        h = jnp.tanh(HIDDEN(tile_members(x, MEMBERS)))
        f = numpyro.deterministic("f", out(h))
        with numpyro.plate("rows", len(x)):
            observe_members("y", dist.Categorical(logits=f), y)

    words = np.where(Y > 0, "up", "down")
    method = VI(guide="delta", optim=0.05)
    found = fit(labels, y=words, x=X, method=method, num_steps=20, progress_bar=False)
    f = np.asarray(found.predict(x=X[:5], site="f", num_samples=1).samples[0], float)
    right = scipy.special.softmax(f, -1).mean(0)
    told = found.predict(x=X[:5], num_samples=4)
    np.testing.assert_allclose(told.probabilities, right, rtol=1e-4)
    assert told.classes == ("down", "up")
    assert set(told.mode) <= {"down", "up"}


@pytest.mark.slow
def test_an_ensemble_of_implicit_ensembles():
    """Its members have vectors of their own, which move; rows come in minibatches."""
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.01), num_members=2)
    result = ensemble.run(jax.random.key(0), 5, X, Y, batch_size=12, progress_bar=False)
    assert result.losses.shape == (2, 5) and np.isfinite(result.losses).all()
    r = np.asarray(result.params["hidden.r"])
    assert r.shape == (2, MEMBERS, 1)
    assert (np.abs(r) != 1.0).all()
    draws = ensemble.predict(jax.random.key(1), result, X[:5], num_samples=4)
    assert draws["f"].shape == (4, 2, MEMBERS, 5)
    assert draws["y"].shape == (4, 2, 5)


@pytest.mark.slow
def test_nuts_draws_the_vectors_of_rank_one():
    """One input and output: against quadrature over the two members' vectors."""
    layer = DenseRank1(1, 1, 2, dist.Normal(1.0, 1.0), bias=False, name="f")
    x = np.linspace(-1, 1, 8)[:, None]
    y = np.where(np.arange(8) % 2, 1.5, 0.2) * x[:, 0]

    def rank_one(x, y=None):
        f = layer(tile_members(x, 2))[..., 0]
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", EnsembleMixture(dist.Normal(f, 0.3)), obs=y)

    fixed = condition(rank_one, {"f.weight": jnp.ones((1, 1)), "f.s": jnp.ones((2, 1))})
    mcmc = MCMC(NUTS(fixed), num_warmup=500, num_samples=4000, progress_bar=False)
    mcmc.run(jax.random.key(0), x, y)
    r = np.asarray(mcmc.get_samples()["f.r"])[..., 0]
    grid = np.linspace(-3, 5, 161)
    one, two = np.meshgrid(grid, grid, indexing="ij")
    parts = [scipy.stats.norm.logpdf(y, v[..., None] * x[:, 0], 0.3) for v in (one, two)]
    logs = scipy.special.logsumexp(parts, axis=0).sum(-1)
    logs += scipy.stats.norm.logpdf(one, 1, 1) + scipy.stats.norm.logpdf(two, 1, 1)
    mass = np.exp(logs - logs.max())
    mass /= mass.sum()
    # Symmetric functions, which do not depend on which member is which. About 500 effective
    # draws: four standard errors.
    for value in (lambda a, b: a + b, lambda a, b: (a - b) ** 2):
        mean = (mass * value(one, two)).sum()
        deviation = np.sqrt((mass * (value(one, two) - mean) ** 2).sum())
        assert abs(value(*r.T).mean() - mean) < 4 * deviation / 500**0.5
