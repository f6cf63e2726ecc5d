"""Gamma observations: SciPy's density, rows that line up, what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer.util import log_density
from scipy import stats

from examples.skeletons.link import gamma_link

Y_HAT = jnp.array([-1.0, 0.0, 2.0])
Y = jnp.array([0.3, 1.7, 5.0])


@pytest.mark.parametrize("y_hat", [Y_HAT, Y_HAT[:, None]])
def test_density(y_hat):
    found, _ = log_density(lambda: gamma_link(y_hat, Y, concentration=2.0), (), {}, {})
    expected = stats.gamma(2.0, scale=np.exp(Y_HAT) / 2.0).logpdf(Y).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mean_and_standard_deviation():
    sites = trace(seed(gamma_link, 0)).get_trace(Y_HAT, concentration=4.0)
    np.testing.assert_allclose(sites["obs"]["fn"].mean, np.exp(Y_HAT), rtol=1e-6)
    deviation = jnp.sqrt(sites["obs"]["fn"].variance)
    np.testing.assert_allclose(deviation, np.exp(Y_HAT) / 2, rtol=1e-6)


def test_refuses():
    with pytest.raises(ValueError, match="`concentration` must be positive and finite"):
        gamma_link(Y_HAT, Y, concentration=0.0)
    with pytest.raises(ValueError, match="`y`"):
        gamma_link(Y_HAT, Y[:2])
