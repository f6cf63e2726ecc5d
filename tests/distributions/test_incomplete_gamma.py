"""Incomplete gamma functions in single precision, against SciPy's in double."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from numpyro_bayeslayers.distributions._incomplete_gamma import log_gammainc, log_gammaincc

PAIRS = {
    "lower": (jax.jit(log_gammainc), scipy.special.gammainc),
    "upper": (jax.jit(log_gammaincc), scipy.special.gammaincc),
}


@pytest.mark.parametrize("a", [0.3, 1.0, 3.0, 20.0, 300.0])
@pytest.mark.parametrize("name", PAIRS)
def test_against_scipy(name, a):
    """From the far left to the far right, down to e^-600."""
    ours, theirs = PAIRS[name]
    x = a + np.sqrt(a) * np.linspace(-12, 60, 37)
    x = np.where(x > 0, x, a * np.geomspace(1e-6, 0.3, len(x)))
    with np.errstate(divide="ignore"):
        expected = np.log(theirs(a, x))
    known = expected > -600  # below, double precision has no digits
    found = np.asarray(ours(jnp.float32(a), jnp.asarray(x, jnp.float32)))
    np.testing.assert_allclose(found[known], expected[known], rtol=3e-5, atol=3e-4)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", PAIRS)
def test_gradients(name):
    """The one in x is the density over the function; the one in a by differences."""
    ours, theirs = PAIRS[name]
    x = np.array([1e-4, 0.1, 1.0, 3.0, 10.0, 60.0])
    slopes = jax.jit(jax.vmap(jax.grad(ours, (0, 1)), (None, 0)))
    found = slopes(2.5, jnp.asarray(x, jnp.float32))
    sign = 1 if name == "lower" else -1
    in_x = sign * scipy.stats.gamma(2.5).pdf(x) / theirs(2.5, x)
    in_a = (np.log(theirs(2.5 + 1e-5, x)) - np.log(theirs(2.5 - 1e-5, x))) / 2e-5
    np.testing.assert_allclose(found[1], in_x, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(found[0], in_a, rtol=2e-3, atol=1e-5)
