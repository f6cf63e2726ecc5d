"""Interactions and standardization against explicit loops, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers.basis import interaction_features, standardize, unstandardize

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


@pytest.mark.parametrize("pairs", [[(0, 1)], [(3, 0), (2, 2), (0, 3)], np.array([[1, 2]])])
def test_interactions(pairs):
    found = interaction_features(X, pairs)
    assert found.shape == (6, len(pairs))
    for k, (i, j) in enumerate(pairs):
        for row in range(6):
            np.testing.assert_allclose(found[row, k], X[row, i] * X[row, j], rtol=1e-6)
    np.testing.assert_allclose(interaction_features(X[0], pairs), found[0], rtol=1e-6)
    slope = jax.jacrev(lambda x: interaction_features(x, pairs))(X[0])
    for k, (i, j) in enumerate(pairs):
        expected = np.zeros(4)
        expected[i] += X[0, j]
        expected[j] += X[0, i]
        np.testing.assert_allclose(slope[k], expected, rtol=1e-6)


@pytest.mark.parametrize("none", [[], (), np.zeros((0, 2), int)])
def test_no_interactions(none):
    assert interaction_features(X, none).shape == (6, 0)


@pytest.mark.parametrize(
    ("pairs", "error", "match"),
    [
        ([(0, 4)], ValueError, r"`pairs` must name columns 0 to 3, got \[\[0, 4\]\]"),
        ([(0, -1)], ValueError, r"`pairs` must name columns 0 to 3, got \[\[0, -1\]\]"),
        ([(0, 1, 2)], ValueError, r"`pairs` must be pairs of columns.*got shape \(1, 3\)"),
        ([(0, 1), (0,)], ValueError, r"`pairs` must be pairs of columns, got \[\(0, 1\), "),
        ([0, 1], ValueError, r"`pairs` must be pairs of columns.*got shape \(2,\)"),
        ([(0.0, 1.0)], TypeError, "`pairs` must be integers, got entries of type float64"),
    ],
)
def test_refuses_pairs(pairs, error, match):
    with pytest.raises(error, match=match):
        interaction_features(X, pairs)


def test_standardize_and_back():
    mu, std = X.mean(0), X.std(0)
    z = standardize(X, mu, std)
    np.testing.assert_allclose(np.mean(z, 0), 0, atol=1e-6)
    np.testing.assert_allclose(np.std(z, 0), 1, rtol=1e-6)
    np.testing.assert_allclose(unstandardize(z, mu, std), X, rtol=1e-5, atol=1e-6)
    assert standardize(jnp.arange(3), 1, 2).tolist() == [-0.5, 0.0, 0.5]
    with jax.enable_x64(True):
        assert standardize(X, 0.5, 2.0).dtype == np.float32
        assert unstandardize(X.astype(float), 0.5, 2.0).dtype == np.float64


@pytest.mark.parametrize("function", [standardize, unstandardize])
@pytest.mark.parametrize("std", [0.0, -1.0, np.array([1.0, 1.0, 0.0, 1.0]), np.nan])
def test_refuses_scales(function, std):
    with pytest.raises(ValueError, match="`std` must be positive and finite, got"):
        function(X, 0.0, std)


def test_scales_may_be_traced():
    found = jax.jit(standardize)(X, jnp.zeros(4), 2 * jnp.ones(4))
    np.testing.assert_allclose(found, X / 2, rtol=1e-6)
