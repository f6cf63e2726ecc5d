"""Priors without a density of mass one: flat, they leave the likelihood as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, trace

from numpyro_bayeslayers.handlers import ensemble
from numpyro_bayeslayers.handlers._feasible import feasible
from numpyro_bayeslayers.infer import MCMC, VI, Stein, fit, log_joint_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=30)
NOISE = 0.5
Y = 1.0 + 2.0 * X + NOISE * RNG.normal(size=30)
DESIGN = np.stack([np.ones(30), X], 1)
MEAN = np.linalg.lstsq(DESIGN, Y, rcond=None)[0]
STD = NOISE * np.sqrt(np.diag(np.linalg.inv(DESIGN.T @ DESIGN)))


def model(x, y=None):
    flat = dist.ImproperUniform(dist.constraints.real, (), (2,))
    b = numpyro.sample("b", flat)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(b[0] + b[1] * x, NOISE), obs=y)


def test_chains_draw_the_likelihood():
    """The posterior is that of least squares; 6 standard errors at 200 effective draws."""
    method = MCMC(num_warmup=200, num_samples=400, num_chains=1)
    draws = fit(model, y=Y, x=X, method=method, progress_bar=False).draws()["b"]
    draws = np.asarray(draws).reshape(-1, 2)
    assert (abs(draws.mean(0) - MEAN) < 6 * STD / np.sqrt(200)).all()
    assert (abs(draws.std(0) / STD - 1) < 6 / np.sqrt(2 * 200)).all()


@pytest.mark.parametrize("batch_size", [None, pytest.param(10, marks=pytest.mark.slow)])
def test_modes_are_least_squares(batch_size):
    method = VI(guide="delta", optim=0.3)
    options = {"num_steps": 400, "batch_size": batch_size, "progress_bar": False}
    found = fit(model, y=Y, x=X, method=method, **options)
    tolerance = 1e-3 if batch_size is None else 3 * STD.max()  # the noise of minibatches
    np.testing.assert_allclose(found.params["b_auto_loc"][0], MEAN, atol=tolerance)


@pytest.mark.slow
def test_particles_start_apart():
    method = Stein(num_particles=5)
    found = fit(model, y=Y, x=X, method=method, num_steps=1, progress_bar=False)
    assert np.std(found.params["b_auto_loc"], axis=0).min() > 0.1


def test_ensembles_and_log_densities():
    """The plate's axis is found, and starts are drawn, without a draw of the prior."""
    plated = ensemble(model, 3)
    shapes = jax.eval_shape(lambda: trace_of(feasible(plated))["b"])
    assert shapes.shape == (3, 1, 2)
    init_fn, log_joint = log_joint_of(model, X, Y)
    start = init_fn(jax.random.key(0))
    expected = dist.Normal(DESIGN @ start["b"], NOISE).log_prob(Y).sum()
    np.testing.assert_allclose(log_joint(start, X, Y), (expected, 0.0), rtol=1e-5)


def trace_of(model):
    sites = trace(seed(model, 0)).get_trace(jnp.asarray(X), jnp.asarray(Y))
    return {name: site["value"] for name, site in sites.items() if site["type"] == "sample"}


def test_rows_of_whole_numbers():
    """They may be codes of categories: the model is looked at, and nothing improper is drawn."""
    x = np.arange(30) % 3
    found = fit(model, y=Y, x=x, num_steps=1, progress_bar=False)
    assert found.predict(x=x[:4], num_samples=2).samples.shape == (2, 4)
