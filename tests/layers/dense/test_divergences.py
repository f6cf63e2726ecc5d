"""Layers that carry guide and prior inside: moments and divergences against oracles."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.distributions import kl_divergence
from numpyro.handlers import seed, substitute, trace
from scipy import integrate

from numpyro_bayeslayers.layers import DenseDVI, DenseVariationalDropout
from numpyro_bayeslayers.layers.dense._variational_dropout import _log_uniform_kl

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jax.random.normal(jax.random.key(0), (4, 3))


def dropout_values(log_alpha):
    theta = jnp.linspace(-1.0, 1.0, 6).reshape(3, 2)
    return {
        "a.theta": theta,
        "a.log_alpha": jnp.full((3, 2), log_alpha),
        "a.bias": jnp.ones(2),
    }


def test_variational_dropout_moments():
    """Mean and variance of 20,000 draws within 5 standard errors (false-alarm rate 1e-5)."""
    values = dropout_values(-1.0)
    layer = substitute(DenseVariationalDropout(3, 2, name="a"), values)
    keys = jax.random.split(jax.random.key(1), 20_000)
    draws = jax.jit(jax.vmap(lambda key: seed(layer, key)(X)))(keys)
    mean = X @ values["a.theta"] + 1.0
    var = X**2 @ (jnp.exp(-1.0) * values["a.theta"] ** 2)
    assert jnp.all(jnp.abs(draws.mean(0) - mean) < 5 * jnp.sqrt(var / 20_000))
    assert jnp.all(jnp.abs(draws.var(0) - var) < 5 * var * np.sqrt(2 / 20_000))


def test_variational_dropout_divergence_by_quadrature():
    """The fit is off the exact divergence by a constant, to 0.02 nats over the range.

    For N(theta, alpha theta^2) against the log-uniform prior the divergence is
    E log|1 + sqrt(alpha) e| - log(alpha) / 2 plus a constant, e standard normal.
    """

    def exact(log_alpha):
        root = np.exp(log_alpha / 2)
        weigh = lambda e: (
            np.log(abs(1 + root * e)) * np.exp(-(e**2) / 2) / np.sqrt(2 * np.pi)
        )
        pole = -1 / root
        ends = sorted({-12.0, 12.0, float(np.clip(pole, -12.0, 12.0))})
        parts = [integrate.quad(weigh, a, b, limit=400)[0] for a, b in pairwise(ends)]
        return sum(parts) - log_alpha / 2

    grid = np.linspace(-6.0, 6.0, 13)
    gap = np.asarray(_log_uniform_kl(jnp.asarray(grid))) - [exact(a) for a in grid]
    assert np.ptp(gap) < 0.02
    assert abs(_log_uniform_kl(jnp.array(20.0))) < 1e-3


def test_variational_dropout_factor_and_sparsity():
    layer = DenseVariationalDropout(3, 2, name="a")
    values = dropout_values(4.0)
    sites = trace(seed(substitute(layer, values), 0)).get_trace(X)
    factor = sites["a.kl"]["fn"].log_factor
    np.testing.assert_allclose(factor, -6 * _log_uniform_kl(jnp.array(4.0)), rtol=1e-5)
    assert layer.sparsity(values) == 1.0
    assert layer.sparsity(dropout_values(-4.0)) == 0.0
    with pytest.raises(
        ValueError, match=r"`params` must have the site 'a.log_alpha', got \[\]"
    ):
        layer.sparsity({})
    with pytest.raises(TypeError, match="`params` must be the parameters by site name"):
        layer.sparsity(values["a.log_alpha"])
    with pytest.raises(ValueError, match="`threshold` must be finite, got inf"):
        DenseVariationalDropout(3, 2, threshold=float("inf"))


def test_all_zero_rows_have_finite_gradients():
    layer = DenseVariationalDropout(3, 2, bias=False, name="a")

    def objective(theta):
        values = {"a.theta": theta, "a.log_alpha": jnp.zeros((3, 2))}
        return jnp.sum(seed(substitute(layer, values), 0)(jnp.zeros((4, 3))) ** 2)

    assert jnp.isfinite(jax.grad(objective)(jnp.ones((3, 2)))).all()


def dvi_values():
    return {
        "a.weight_loc": jnp.linspace(-1.0, 1.0, 6).reshape(3, 2),
        "a.weight_log_var": jnp.linspace(-2.0, 0.0, 6).reshape(3, 2),
        "a.bias_loc": jnp.array([0.5, -0.5]),
        "a.bias_log_var": jnp.array([-1.0, -3.0]),
    }


def test_dvi_moments():
    """Weights, bias and inputs drawn 100,000 times: 5 standard errors (false alarm 1e-5)."""
    values, var_in = dvi_values(), jnp.square(X) / 2 + 0.1
    mean, var = seed(substitute(DenseDVI(3, 2, name="a"), values), 0)(X, var_in)

    def one(key):
        keys = jax.random.split(key, 3)
        normal = lambda key, loc, var: (
            loc + jnp.sqrt(var) * jax.random.normal(key, loc.shape)
        )
        w = normal(keys[0], values["a.weight_loc"], jnp.exp(values["a.weight_log_var"]))
        b = normal(keys[1], values["a.bias_loc"], jnp.exp(values["a.bias_log_var"]))
        return normal(keys[2], X, var_in) @ w + b

    draws = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), 100_000))
    assert jnp.all(jnp.abs(draws.mean(0) - mean) < 5 * jnp.sqrt(var / 100_000))
    # Products of normals have heavier tails: a kurtosis of at most 9.
    assert jnp.all(jnp.abs(draws.var(0) - var) < 5 * var * np.sqrt(8 / 100_000))


def test_dvi_divergence():
    values = dvi_values()
    layer = DenseDVI(3, 2, prior_scale=0.7, name="a")
    sites = trace(seed(substitute(layer, values), 0)).get_trace(X)
    expected = sum(
        kl_divergence(
            dist.Normal(values[f"a.{s}_loc"], jnp.exp(values[f"a.{s}_log_var"] / 2)),
            dist.Normal(0.0, 0.7),
        ).sum()
        for s in ("weight", "bias")
    )
    np.testing.assert_allclose(sites["a.kl"]["fn"].log_factor, -expected, rtol=1e-5)


def test_dvi_without_bias_and_variance():
    layer = DenseDVI(3, 2, bias=False, name="a")
    values = {name: v for name, v in dvi_values().items() if "weight" in name}
    mean, var = seed(substitute(layer, values), 0)(X)
    np.testing.assert_allclose(mean, X @ values["a.weight_loc"], rtol=1e-5)
    np.testing.assert_allclose(var, X**2 @ jnp.exp(values["a.weight_log_var"]), rtol=1e-5)
    with pytest.raises(ValueError, match=r"`var` must have the shape of `mean`, \(4, 3\)"):
        seed(layer, 0)(X, jnp.ones((4, 2)))
    with pytest.raises(ValueError, match="`init_log_var` must be finite, got nan"):
        DenseDVI(3, 2, init_log_var=float("nan"))
