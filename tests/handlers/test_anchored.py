"""Modes of anchored members against the posterior, by algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers import anchored, ensemble
from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.layers import DenseReparameterization

RNG = np.random.default_rng(0)
PHI = RNG.standard_normal((3, 2))
Y = RNG.standard_normal(3)
SIGMA, TAU = 0.8, 0.5
A = PHI.T @ PHI / TAU**2 + np.eye(2) / SIGMA**2
COV = np.linalg.inv(A)
MEAN = COV @ PHI.T @ Y / TAU**2


def model(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, SIGMA).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, TAU), obs=y)


MEMBERS = 4000
ANCHORS, NOISE = RNG.standard_normal((MEMBERS, 2)), RNG.standard_normal((MEMBERS, 3))


def modes(use_noise):
    """The modes of many members: of quadratics, by one Newton step from zero.

    The gradient is that of the ensemble's own objective, at these anchors.
    """
    many = ensemble(anchored(model, use_noise), MEMBERS)

    def guide(x, y):
        w = numpyro.param("w_loc", jnp.zeros((MEMBERS, 1, 2)))
        with numpyro.plate("ensemble", MEMBERS, dim=-2):
            numpyro.sample("w", dist.Delta(w, event_dim=1))

    def loss(w):
        values = {"w_loc": w, "w_anchor": jnp.asarray(ANCHORS)}
        values |= {"y_noise": jnp.asarray(NOISE)} if use_noise else {}
        data = (jnp.asarray(PHI), jnp.asarray(Y))
        return Trace_ELBO().loss(jax.random.key(0), values, many, guide, *data)

    gradient = jax.jit(jax.grad(loss))(jnp.zeros((MEMBERS, 1, 2)))
    return -np.asarray(gradient)[:, 0] @ COV


def assert_moments(found, mean, cov):
    """Of 4,000 independent normals; five standard errors, of five numbers."""
    error = np.sqrt(np.diag(cov) / MEMBERS)
    assert (abs(found.mean(0) - mean) < 5 * error).all()
    spread = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / MEMBERS)
    assert (abs(np.cov(found.T) - cov) < 5 * spread).all()


def test_with_noise_the_modes_are_draws_of_the_posterior():
    """Each is what the normal equations give, and all have the posterior's moments."""
    found = modes(True)
    right = (Y + TAU * NOISE) @ PHI / TAU**2 + ANCHORS / SIGMA
    np.testing.assert_allclose(found, right @ COV, atol=1e-4)
    assert_moments(found, MEAN, COV)


def test_with_anchors_alone_they_lack_the_part_of_the_noise():
    """Pearce et al.: the posterior's mean, and less than its covariance."""
    cov = COV @ COV / SIGMA**2
    assert_moments(modes(False), MEAN, cov)
    assert (np.diag(cov) < np.diag(COV)).all()


def test_density_is_that_of_the_moved_prior():
    values = {"w": jnp.array([0.3, -0.2]), "w_anchor": jnp.array([1.0, -2.0])}
    found, _ = log_density(anchored(model), (PHI, Y), {}, values)
    moved = dist.Normal(SIGMA * values["w_anchor"], SIGMA).log_prob(values["w"]).sum()
    fit = dist.Normal(PHI @ values["w"], TAU).log_prob(Y).sum()
    assert found == pytest.approx(float(moved + fit), rel=1e-5)


def test_correlated_and_hierarchical_priors_are_moved_by_their_own_deviations():
    root = jnp.array([[1.0, 0.0], [0.5, 2.0]])

    def deep(y):
        tau = numpyro.sample("tau", dist.HalfNormal(1.0))
        a = numpyro.sample("a", dist.Normal(1.0, tau))
        b = numpyro.sample("b", dist.MultivariateNormal(jnp.ones(2), scale_tril=root))
        numpyro.sample("y", dist.Normal(a + b.sum(), 1.0), obs=y)

    values = {"tau": 2.0, "a_anchor": 0.5, "b_anchor": jnp.array([1.0, -1.0])}
    sites = trace(seed(substitute(anchored(deep), values), 0)).get_trace(0.0)
    assert "tau_anchor" not in sites
    assert sites["a"]["fn"].loc == pytest.approx(2.0)
    np.testing.assert_allclose(sites["b"]["fn"].loc, [2.0, -0.5])


@pytest.fixture(scope="module")
def trained():
    def network(x, y=None):
        f = DenseReparameterization(2, 1, bias=False, name="f", prior_scale=SIGMA)(x)[
            ..., 0
        ]
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(f, TAU), obs=y)

    svi = EnsembleSVI(anchored(network), AutoDelta, optax.adam(0.1), num_members=3)
    x, y = jnp.asarray(PHI), jnp.asarray(Y)
    return svi, svi.run(jax.random.key(0), 150, x, y, progress_bar=False)


def test_trained_members_are_at_their_own_modes(trained):
    """By the normal equations, each at its anchor, which no step has moved."""
    svi, result = trained
    anchors = np.asarray(result.params["f.weight_anchor"]).reshape(3, 2)
    start = svi.get_params(svi.init(jax.random.key(0), jnp.asarray(PHI), jnp.asarray(Y)))
    np.testing.assert_array_equal(anchors, start["f.weight_anchor"].reshape(3, 2))
    expected = MEAN + anchors @ COV / SIGMA
    found = np.asarray(result.params["f.weight_auto_loc"]).reshape(3, 2)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_predictions_are_those_of_the_plain_model(trained):
    """Without observations nothing is moved: neither draws of the prior nor of outcomes."""
    svi, result = trained
    draws = svi.predict(jax.random.key(1), result, jnp.asarray(PHI), num_samples=400)
    mean = np.asarray(draws["y"]).mean(0).reshape(3, 3)
    weights = np.asarray(result.params["f.weight_auto_loc"]).reshape(3, 2)
    np.testing.assert_allclose(mean, weights @ PHI.T, atol=5 * TAU / 20)
    prior = Predictive(anchored(model), num_samples=2)(jax.random.key(0), PHI)
    assert set(prior) == {"w", "y"}


@pytest.mark.usefixtures("as_users_run")
def test_what_has_no_anchor_is_refused():
    def positive(y=None):
        s = numpyro.sample("s", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(0.0, s), obs=y)

    with pytest.raises(ValueError, match="no latent site with a normal prior"):
        seed(anchored(positive), 0)(1.0)

    def local(y):
        with numpyro.plate("rows", 3, subsample_size=2):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    with pytest.raises(ValueError, match="'rows', which is subsampled"):
        seed(anchored(local), 0)(jnp.zeros(2))
    with pytest.raises(TypeError, match="`use_noise` must be True or False"):
        anchored(model, use_noise="yes")


def test_noise_must_be_known():
    """An estimated scale would count the draws as noise of the data."""

    def unknown(y):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(w, sigma), obs=y)

    with pytest.raises(ValueError, match=r"known noise.*'sigma' has HalfNormal"):
        seed(anchored(unknown, True), 0)(1.0)


def test_noise_and_minibatches_do_not_go_together():
    """The noise belongs to rows, which a step on some of them does not know."""
    svi = EnsembleSVI(anchored(model, True), AutoDelta, optax.adam(0.1), num_members=2)
    with pytest.raises(ValueError, match="`use_noise` needs all rows in each step"):
        svi.run(jax.random.key(0), 2, PHI, Y, batch_size=2, progress_bar=False)
