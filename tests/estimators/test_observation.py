"""Observation models against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro_bayeslayers.estimators._observation import OBSERVATION_MODELS, Units

F = np.array([-3.0, -0.5, 0.0, 2.0])
Y = np.arange(30)
UNITS = Units(shift=0.0, scale=7.0)


def softplus(x):
    return np.logaddexp(0.0, x)


def nbinom(f, r, scale=UNITS.scale):
    """SciPy's distribution of mean mu = scale softplus(f), variance mu + mu² softplus(r)."""
    mean, shape = scale * softplus(f), softplus(r)
    return scipy.stats.nbinom(1 / shape, 1 / (1 + mean * shape))


def made(name, f, units=UNITS, **sites):
    sites = {site: jnp.asarray(value) for site, value in sites.items()}
    return OBSERVATION_MODELS[name].distribution(jnp.asarray(f), sites, units)


def test_normal():
    d = made("NORMAL", F, Units(100.0, 20.0), log_noise_scale=-1.0)
    expected = scipy.stats.norm(100 + 20 * F, 20 * (0.01 + np.exp(-1.0)))
    np.testing.assert_allclose(d.log_prob(101.0), expected.logpdf(101.0), rtol=1e-5)


@pytest.mark.parametrize("r", [-4.0, -1.5, 1.0])
def test_negative_binomial(r):
    d = made("NB", F, shape=r)
    expected = nbinom(F, r)
    y = Y[:, None]
    np.testing.assert_allclose(d.log_prob(y), expected.logpmf(y), rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(d.cdf(y), expected.cdf(y), atol=1e-4)
    np.testing.assert_allclose(d.mean, UNITS.scale * softplus(F), rtol=1e-5)
    np.testing.assert_allclose(d.variance, expected.var(), rtol=1e-4)


def test_zero_inflated():
    z = 0.3
    d = made("ZINB", F, shape=-1.0, inflation_logit=z)
    gate = 1 / (1 + np.exp(-z))
    pmf = (1 - gate) * nbinom(F, -1.0).pmf(Y[:, None])
    pmf[0] += gate
    np.testing.assert_allclose(jnp.exp(d.log_prob(Y[:, None])), pmf, rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(d.cdf(Y[:, None]), np.cumsum(pmf, axis=0), atol=2e-5)
    np.testing.assert_allclose(d.mean, (1 - gate) * UNITS.scale * softplus(F), rtol=1e-5)


@pytest.mark.parametrize("name", OBSERVATION_MODELS)
@pytest.mark.parametrize("f", [-200.0, 0.0, 200.0])
def test_gradients_are_finite_far_out(name, f):
    model = OBSERVATION_MODELS[name]
    sites = dict.fromkeys(model.priors, jnp.zeros(()))

    def log_prob(f, sites):
        return model.distribution(f, sites, Units(0.0, 3.0)).log_prob(4.0)

    value, gradients = jax.value_and_grad(log_prob, argnums=(0, 1))(jnp.asarray(f), sites)
    assert np.isfinite([value, *jax.tree.leaves(gradients)]).all()


def test_far_left_the_mean_falls_like_the_exponential():
    """log p(4) has slope 4 in f, also where softplus(f) underflows."""
    slope = jax.grad(lambda f: made("NB", f, shape=0.0).log_prob(4.0))(jnp.asarray(-150.0))
    assert slope == pytest.approx(4.0, rel=1e-5)


def test_units():
    y = np.array([2.0, 4.0, 9.0])
    assert OBSERVATION_MODELS["NB"].units(y) == Units(0.0, 5.0)
    shift, scale = OBSERVATION_MODELS["NORMAL"].units(y)
    assert (shift, scale) == (pytest.approx(5.0), pytest.approx(np.sqrt(26 / 3)))
    assert OBSERVATION_MODELS["NORMAL"].units(np.array([3.0, 3.0])) == Units(3.0, 1.0)
    assert OBSERVATION_MODELS["ZINB"].units(np.zeros(3)) == Units(0.0, 1.0)


def test_counts_are_checked():
    OBSERVATION_MODELS["NORMAL"].check("y", np.array([-1.5]))
    OBSERVATION_MODELS["NB"].check("y", np.array([0.0, 3.0]))
    for bad in (-1.0, 0.5):
        with pytest.raises(
            ValueError, match=f"'y' must hold counts.*got 1 other values, such as {bad:g}"
        ):
            OBSERVATION_MODELS["ZINB"].check("y", np.array([0.0, bad]))
