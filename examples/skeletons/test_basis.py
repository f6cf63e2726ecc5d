"""Broken lines against loops: shapes, gradients, precision, what is refused."""

import jax
import numpy as np
import pytest

from examples.skeletons.basis import hinge_features

X = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
KNOTS = np.array([-1.0, 0.0, 0.5], np.float32)


def test_values():
    found = hinge_features(X, KNOTS)
    expected = [[max(0.0, v - t) for v in row for t in KNOTS] for row in X]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(hinge_features(X[0], KNOTS), found[0], rtol=1e-6)


def test_transformations():
    np.testing.assert_allclose(
        jax.jit(hinge_features)(X, KNOTS), hinge_features(X, KNOTS), rtol=1e-6
    )
    slope = jax.jacfwd(lambda x: hinge_features(x, KNOTS))(X[0])
    expected = [(X[0, j] > t) * np.eye(2)[j] for j in range(2) for t in KNOTS]
    np.testing.assert_allclose(slope, expected)


def test_double_precision_stays_double():
    with jax.enable_x64(True):
        assert hinge_features(X.astype(float), KNOTS).dtype == np.float64


def test_refuses_knots_that_are_no_numbers():
    with pytest.raises(ValueError, match="`knots` has 1 entries that are NaN or infinite"):
        hinge_features(X, np.array([0.0, np.nan]))
