"""Fourier and seasonal features against rational arithmetic, and what they refuse."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers.basis import (
    fourier_features,
    seasonal_features,
    seasonal_frequencies,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

# Exact in binary or not, longer and shorter than the unit, with many harmonics.
PERIODS = (7.0, 365.25, 365.2425 / 12, 52.1775, 1 / 3, 0.1)
HARMONICS = (3, 10, 5, 26, 2, 1)


def rational_waves(times, frequencies):
    """Cosines and sines, the cycles reduced as fractions of whole numbers."""
    cycles = [[float(Fraction(float(t)) * f % 1) for f in frequencies] for t in times]
    angle = 2 * np.pi * np.array(cycles)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


def times(kind, dtype):
    rng = np.random.default_rng(0)
    if kind == "index":
        drawn = rng.integers(-4_000_000, 4_000_001, 60)
        return np.concatenate([drawn, [0, 1, -1, 3_999_999, 4_000_000]]).astype(dtype)
    return np.concatenate([rng.uniform(-4e6, 4e6, 60), rng.uniform(-3, 3, 5)]).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 2e-15)])
@pytest.mark.parametrize("kind", ["index", "fractions"])
def test_seasons_are_right_at_large_times(kind, dtype, tolerance):
    """A few units in the last place of one, at times of four million."""
    with jax.enable_x64(dtype == "float64"):
        x = times(kind, dtype)
        found = seasonal_features(x, PERIODS, HARMONICS)
    exact = [
        Fraction(h) / Fraction(p)
        for p, count in zip(PERIODS, HARMONICS, strict=True)
        for h in range(1, count + 1)
    ]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, rational_waves(x, exact), atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 2e-15)])
def test_fourier_features_are_right_at_high_degrees(dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        x = times("fractions", dtype)
        found = fourier_features(x, 12)
    expected = rational_waves(x, [Fraction(2**d) for d in range(12)])
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_rescale_divides_by_degree_and_by_harmonic():
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    plain, rescaled = (fourier_features(x, 3, rescale=r) for r in (False, True))
    np.testing.assert_allclose(rescaled, plain / np.array([1, 2, 3, 1, 2, 3]), rtol=1e-6)
    plain, rescaled = (
        seasonal_features(x, [4, 9], [2, 1], rescale=r) for r in (False, True)
    )
    np.testing.assert_allclose(rescaled, plain / np.array([1, 2, 1, 1, 2, 1]), rtol=1e-6)


def test_frequencies():
    numbers, frequencies = seasonal_frequencies((4.0, 52.1775), (2, 3))
    assert numbers == [1, 2, 1, 2, 3]
    assert frequencies == [1 / 4, 2 / 4, 1 / 52.1775, 2 / 52.1775, 3 / 52.1775]
    assert seasonal_frequencies([], []) == ([], [])
    assert seasonal_frequencies([7.0, 3.0], [0, 1]) == ([1], [1 / 3])


@pytest.mark.parametrize("shape", [(), (4,), (2, 4)])
def test_shapes(shape):
    x = jnp.zeros(shape)
    assert fourier_features(x, 0).shape == (*shape, 0)
    assert fourier_features(x, 3).shape == (*shape, 6)
    assert seasonal_features(x, [], []).shape == (*shape, 0)
    assert seasonal_features(x, [7.0], [0]).shape == (*shape, 0)
    assert seasonal_features(x, [7.0, 9.0], [1, 2]).shape == (*shape, 6)


def test_whole_numbers_are_times():
    found = seasonal_features(jnp.array([3_999_999, 4_000_000]), [7], [1])
    expected = rational_waves([3_999_999, 4_000_000], [Fraction(1, 7)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_under_jit_scan_and_vmap():
    """Settings are Python numbers, so nothing about them is traced."""
    x = jnp.arange(6.0)

    def features(t):
        waves = [seasonal_features(t, [4.0, 7.0], [1, 2]), fourier_features(t / 7, 2)]
        return jnp.concatenate(waves, axis=-1)

    expected = features(x)
    np.testing.assert_allclose(jax.jit(features)(x), expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(features)(x), expected, atol=1e-6)
    _, scanned = jax.lax.scan(lambda carry, t: (carry, features(t)), 0, x)
    np.testing.assert_allclose(scanned, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("features", "frequencies"),
    [
        (lambda t: seasonal_features(t, [4.0, 0.5], [2, 1]), [0.25, 0.5, 2.0]),
        (lambda t: fourier_features(t, 3), [1.0, 2.0, 4.0]),
    ],
)
def test_slopes(features, frequencies):
    """First and second derivatives are those of waves, although whole cycles are cut off."""
    t, rate = 1234.3, 2 * np.pi * np.array(frequencies)
    with jax.enable_x64(True):
        slope = jax.jacfwd(features)(t)
        curvature = jax.jacrev(jax.jacrev(features))(t)
    angle = rate * t
    expected = np.concatenate([-rate * np.sin(angle), rate * np.cos(angle)])
    np.testing.assert_allclose(slope, expected, atol=1e-9)
    expected = np.concatenate([-(rate**2) * np.cos(angle), -(rate**2) * np.sin(angle)])
    np.testing.assert_allclose(curvature, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("periods", "harmonics", "error", "match"),
    [
        (
            4.0,
            [1],
            TypeError,
            r"`periods` must be a sequence, got 4.0 \(float\)",
        ),
        ([4.0], [1, 2], ValueError, "`harmonics` must have one entry.*got 2 for 1 periods"),
        ([4.0, 0.0], [1, 1], ValueError, "`periods` must be positive and finite, got 0.0"),
        ([math.inf], [1], ValueError, "`periods` must be positive and finite, got inf"),
        ([4.0], [-1], ValueError, "`harmonics` must be zero or positive, got -1"),
        ([4.0], [1.5], TypeError, r"`harmonics` must be a whole number, got 1.5 \(float\)"),
    ],
)
@pytest.mark.parametrize(
    "function",
    [seasonal_frequencies, lambda p, h: seasonal_features(jnp.zeros(2), p, h)],
)
def test_refuses_seasons(function, periods, harmonics, error, match):
    with pytest.raises(error, match=match):
        function(periods, harmonics)


@pytest.mark.parametrize(
    ("degree", "error", "match"),
    [
        (-1, ValueError, "`max_degree` must be zero or positive, got -1"),
        (1.0, TypeError, r"`max_degree` must be a whole number, got 1.0 \(float\)"),
        (True, TypeError, r"`max_degree` must be a whole number, got True \(bool\)"),
    ],
)
def test_refuses_degrees(degree, error, match):
    with pytest.raises(error, match=match):
        fourier_features(jnp.zeros(2), degree)
