"""Moments of rectified normals against quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from numpyro_bayeslayers.basis import relu_moments


@pytest.mark.parametrize("mean", [-3.0, -0.5, 0.0, 1.0, 8.0])
@pytest.mark.parametrize("var", [0.04, 1.0, 9.0])
def test_against_quadrature(mean, var):
    law = stats.norm(mean, np.sqrt(var))
    end = mean + 12 * np.sqrt(var)
    first = integrate.quad(lambda z: z * law.pdf(z), 0, end)[0]
    second = integrate.quad(lambda z: z**2 * law.pdf(z), 0, end)[0]
    found = relu_moments(jnp.array([mean]), jnp.array([var]))
    np.testing.assert_allclose(found[0][0], first, rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(found[1][0], second - first**2, rtol=2e-3, atol=1e-6)


def test_without_variance():
    """A known input is rectified, and gradients stay finite there."""
    mean = jnp.array([-1.0, 0.0, 2.0])
    found, var = relu_moments(mean, jnp.zeros(3))
    np.testing.assert_allclose(found, jnp.maximum(mean, 0.0), atol=1e-6)
    np.testing.assert_allclose(var, 0.0, atol=1e-6)
    grads = jax.grad(lambda m, v: sum(map(jnp.sum, relu_moments(m, v))), (0, 1))(
        mean, 0 * mean
    )
    assert all(jnp.isfinite(g).all() for g in grads)
