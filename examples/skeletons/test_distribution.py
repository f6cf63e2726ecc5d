"""Lengths of vectors: the laws of distributions, and SciPy's density.

In your copy the laws come with the row in `tests/cases`, and `check_distribution` can go.
"""

import numpy as np
import pytest
from scipy import stats

from examples.skeletons.distribution import Rayleigh
from numpyro_bayeslayers.testing import check_distribution

SCALE = np.array([0.5, 2.0], np.float32)


def test_keeps_the_laws():
    check_distribution(Rayleigh, {"scale": SCALE})


def test_density_is_that_of_scipy():
    x = np.array([[1e-4], [0.3], [2.0], [20.0]], np.float32)
    expected = stats.rayleigh(scale=SCALE).logpdf(x)
    np.testing.assert_allclose(Rayleigh(SCALE).log_prob(x), expected, rtol=1e-5)


def test_refuses_a_negative_scale():
    with pytest.raises(ValueError, match="scale"):
        Rayleigh(-1.0, validate_args=True)
