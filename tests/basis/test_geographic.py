"""Encoders of places against SciPy, spherical geometry and hand-made numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import sph_harm_y

from numpyro_bayeslayers.basis import (
    cyclic_encode,
    deg2rad,
    lonlat_scale,
    lonlat_to_cartesian3d,
    spherical_harmonic_encode,
)

pytestmark = pytest.mark.usefixtures("as_users_run")


def places(n=40):
    """Longitudes and latitudes in radians, uniform on the sphere; both poles come first."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-np.pi, np.pi, n), np.arcsin(rng.uniform(-1, 1, n))
    lat[:2] = np.pi / 2, -np.pi / 2
    return np.stack([lon, lat], -1)


def scipy_harmonics(lonlat, l_max):
    """Real harmonics from SciPy's complex ones, whose phase (-1)^m is taken out."""
    lon, lat = lonlat.T
    columns = []
    for degree in range(l_max + 1):
        for order in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(order), np.pi / 2 - lat, lon)
            part = value.imag if order < 0 else value.real
            columns.append(part * (np.sqrt(2) * (-1) ** order if order else 1))
    return np.stack(columns, -1)


@pytest.mark.parametrize("l_max", [0, 1, 2, 5, 30, 100])
def test_harmonics_against_scipy(l_max):
    with jax.enable_x64(True):
        found = spherical_harmonic_encode(places(), l_max)
    expected = scipy_harmonics(places(), l_max)
    assert found.shape == expected.shape == (40, (l_max + 1) ** 2)
    np.testing.assert_allclose(found, expected, atol=2e-12)


def test_harmonics_in_single_precision():
    found = spherical_harmonic_encode(places().astype(np.float32), 20)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scipy_harmonics(places(), 20), atol=3e-5)


def test_harmonics_are_orthonormal():
    """Integrals of products, by a rule that is exact for polynomials of this degree."""
    l_max = 6
    z, weight = np.polynomial.legendre.leggauss(l_max + 1)
    lon = 2 * np.pi * np.arange(2 * l_max + 1) / (2 * l_max + 1)
    grid = np.stack(np.meshgrid(lon, np.arcsin(z), indexing="ij"), -1)
    with jax.enable_x64(True):
        values = np.asarray(spherical_harmonic_encode(grid, l_max))
    gram = np.einsum("ijk,ijl,j->kl", values, values, weight) * 2 * np.pi / len(lon)
    np.testing.assert_allclose(gram, np.eye((l_max + 1) ** 2), atol=1e-12)


@pytest.mark.parametrize("latitude", [np.pi / 2, -np.pi / 2, 0.3])
def test_gradients_at_the_poles(latitude):
    """Finite, and the slopes of SciPy's values along a short step."""
    place, step = np.array([0.7, latitude]), 1e-6
    with jax.enable_x64(True):
        slope = jax.jacrev(lambda x: spherical_harmonic_encode(x, 8))(place)
    for axis in range(2):
        shift = step * np.eye(2)[axis]
        ends = np.stack([place + shift, place - shift])
        # A step over the pole comes down on the opposite meridian.
        over = np.abs(ends[:, 1]) > np.pi / 2
        ends[over] = np.sign(ends[over]) * [0, np.pi] + ends[over] * [1, -1] + [np.pi, 0]
        high, low = scipy_harmonics(ends, 8)
        np.testing.assert_allclose(slope[:, axis], (high - low) / (2 * step), atol=1e-6)


def test_cartesian():
    lonlat = places()
    with jax.enable_x64(True):
        x = np.asarray(lonlat_to_cartesian3d(lonlat))
        in_degrees = lonlat_to_cartesian3d(np.rad2deg(lonlat), input_unit="degrees")
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(in_degrees, x, atol=1e-14)
    # The angle between two points is that of the spherical law of cosines.
    (lon_a, lat_a), (lon_b, lat_b) = lonlat[2], lonlat[3]
    angle = np.sin(lat_a) * np.sin(lat_b)
    angle += np.cos(lat_a) * np.cos(lat_b) * np.cos(lon_a - lon_b)
    np.testing.assert_allclose(x[2] @ x[3], angle, atol=1e-14)
    axes = np.array([[0.0, 0.0], [90.0, 0.0], [12.0, 90.0]])
    found = lonlat_to_cartesian3d(axes, input_unit="degrees")
    np.testing.assert_allclose(found, np.eye(3), atol=1e-6)


def test_scale_and_degrees():
    corners = jnp.array([[-180.0, -90.0], [180.0, 90.0], [0.0, 45.0]])
    assert lonlat_scale(corners).tolist() == [[-1, -1], [1, 1], [0, 0.5]]
    found = lonlat_scale(corners[2], lon_range=(-10.0, 30.0), lat_range=(40.0, 60.0))
    np.testing.assert_allclose(found, [-0.5, -0.5], rtol=1e-6)
    np.testing.assert_allclose(deg2rad(jnp.array([90, 180])), [np.pi / 2, np.pi], rtol=1e-6)


def test_cyclic():
    angles = places()[:, :1] * np.array([[1.0, 2.0, 3.0]])
    found = cyclic_encode(angles)
    expected = np.concatenate([np.cos(angles), np.sin(angles)], -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(cyclic_encode(angles[:, 0]), expected[:, [0, 3]], atol=1e-6)
    assert cyclic_encode(0.0).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: lonlat_scale(jnp.ones((4, 3))),
            ValueError,
            r"`lonlat`.*got shape \(4, 3\)",
        ),
        (lambda: lonlat_to_cartesian3d(0.0), ValueError, r"`lonlat`.*got shape \(\)"),
        (
            lambda: lonlat_scale(jnp.ones(2), lat_range=(90.0, 90.0)),
            ValueError,
            r"`lat_range` must be two finite numbers, the lower first, got \(90.0, 90.0\)",
        ),
        (
            lambda: lonlat_to_cartesian3d(jnp.ones(2), input_unit="degree"),
            ValueError,
            "`input_unit` must be one of.*got 'degree'. Did you mean 'degrees'",
        ),
        (
            lambda: spherical_harmonic_encode(jnp.ones(2), -1),
            ValueError,
            "`l_max` must be zero or positive, got -1",
        ),
        (
            lambda: spherical_harmonic_encode(jnp.ones(2), 1.5),
            TypeError,
            "`l_max` must be a whole number, got 1.5",
        ),
    ],
)
def test_refuses(call, error, match):
    with pytest.raises(error, match=match):
        call()
