"""The claims of the plugin's objects."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from bayeslayers_example import HyperbolicSecant, LaplaceLinear, laplace, quantize
from numpyro.handlers import seed, substitute, trace

from numpyro_bayeslayers.formulas import Term, formula
from numpyro_bayeslayers.testing import check_layer


def test_layer_keeps_the_laws():
    check_layer(LaplaceLinear(3, 2, name="out"), jnp.linspace(-1.0, 1.0, 15).reshape(5, 3))


def test_layer_has_the_prior_it_claims():
    site = trace(seed(LaplaceLinear(3, 2, scale=0.7), 0)).get_trace(jnp.ones((5, 3)))
    weight = site["laplace_linear.weight"]
    expected = dist.Laplace(0.0, 0.7).log_prob(weight["value"]).sum()
    np.testing.assert_allclose(weight["fn"].log_prob(weight["value"]), expected, rtol=1e-6)


def test_layer_refuses_a_negative_scale():
    with pytest.raises(ValueError, match=r"`scale` must be positive, got -1"):
        LaplaceLinear(3, 2, scale=-1.0)


def test_handler_rounds_weights_and_passes_gradients():
    x = jnp.array([[1.0, -2.0, 0.5]])
    layer = LaplaceLinear(3, 1, name="out")

    def output(weight, model):
        return substitute(model, data={"out.weight": weight})(x)[0, 0]

    weight = jnp.array([[0.30], [0.77], [-1.20]])
    rounded = jnp.array([[0.25], [0.75], [-1.25]])
    np.testing.assert_allclose(
        output(weight, quantize(layer, step=0.25)), output(rounded, layer), rtol=1e-6
    )
    grad = jax.grad(output)(weight, quantize(layer, step=0.25))
    np.testing.assert_allclose(grad, x.T, rtol=1e-6)


def test_handler_leaves_sites_alone():
    layer, x = LaplaceLinear(3, 2, name="out"), jnp.ones((5, 3))
    plain = trace(seed(layer, 0)).get_trace(x)
    coarse = trace(seed(quantize(layer, step=1.0), 0)).get_trace(x)
    assert plain.keys() == coarse.keys()
    np.testing.assert_array_equal(
        plain["out.weight"]["value"], coarse["out.weight"]["value"]
    )


def test_handler_refuses_a_step_of_zero():
    with pytest.raises(ValueError, match=r"`step` must be positive, got 0"):
        quantize(step=0.0)


def test_density_is_that_of_the_distribution_function():
    d, x = HyperbolicSecant(0.5, 2.0), jnp.linspace(-8.0, 9.0, 35)
    slope = jax.vmap(jax.grad(d.cdf))(x)
    np.testing.assert_allclose(jnp.exp(d.log_prob(x)), slope, rtol=1e-4)
    np.testing.assert_allclose(d.icdf(d.cdf(x)), x, rtol=1e-3, atol=1e-3)


def test_moments_by_quadrature():
    d, x = HyperbolicSecant(0.5, 2.0), np.linspace(-60.0, 61.0, 20001)
    density, width = np.exp(d.log_prob(x)), x[1] - x[0]
    np.testing.assert_allclose(density.sum() * width, 1.0, rtol=1e-4)
    np.testing.assert_allclose((x * density).sum() * width, d.mean, rtol=1e-4)
    np.testing.assert_allclose(
        ((x - 0.5) ** 2 * density).sum() * width, d.variance, rtol=1e-4
    )


def test_draws_follow_the_distribution_function():
    d, n = HyperbolicSecant(0.5, 2.0), 100_000
    draws = jnp.sort(d.sample(jax.random.key(0), (n,)))
    distance = jnp.abs(d.cdf(draws) - (jnp.arange(n) + 0.5) / n).max()
    assert distance < 2.5 / jnp.sqrt(n)  # Kolmogorov-Smirnov: fails once in 100,000 keys
    assert d.expand((3, 2)).sample(jax.random.key(0), (4,)).shape == (4, 3, 2)


def test_tails_do_not_overflow():
    d = HyperbolicSecant()
    assert jnp.isfinite(d.log_prob(1e6))
    assert jnp.isfinite(jax.grad(d.log_prob)(0.0))


def test_term_is_found_by_formulas():
    """Its slopes have Laplace priors of the scale of the outcome; rows are x / sd(x) times them."""
    x = np.array([1.0, 2.0, 4.0, 7.0])
    data = {"y": 3 * x, "x": x}
    model = formula("y ~ laplace(x, width=0.5)", data)
    sites = trace(seed(model, 0)).get_trace()
    slope = sites["laplace(x, width=0.5).beta"]
    law = dist.Laplace(0.0, 0.5 * data["y"].std())
    np.testing.assert_allclose(
        slope["fn"].log_prob(slope["value"]), law.log_prob(slope["value"]).sum(), rtol=1e-5
    )
    level = sites["Intercept_centered.beta"]["value"][0, 0]
    mean = level + x / x.std() * slope["value"][0, 0]
    np.testing.assert_allclose(sites["y"]["fn"].loc, mean, rtol=1e-5)


def test_term_refuses_what_it_cannot_be():
    with pytest.raises(ValueError, match=r"`laplace\(age\)`.*`width` above zero, got -1"):
        laplace(Term("laplace(age)"), np.ones(3), width=-1.0)
