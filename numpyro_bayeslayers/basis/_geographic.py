"""Encodings of geographic locations and angles as network inputs."""

import math
from typing import Any, Literal, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from ._fourier import as_float
from ._spherical_harmonics import spherical_harmonics

Unit: TypeAlias = Literal["degrees", "radians"]
UNITS = get_args(Unit)


def deg2rad(x: Num[ArrayLike, "*batch"]) -> Float[Array, "*batch"]:
    r"""Convert degrees to radians, $\pi x / 180$.

    Args:
        x: Angles in degrees.

    Example:
        >>> round(float(deg2rad(180.0)), 4)
        3.1416
    """
    return as_float(x) * (math.pi / 180)


def lonlat_scale(
    lonlat: Num[ArrayLike, "*batch 2"],
    *,
    lon_range: tuple[float, float] = (-180.0, 180.0),
    lat_range: tuple[float, float] = (-90.0, 90.0),
) -> Float[Array, "*batch 2"]:
    """Scale longitude and latitude linearly to the interval from -1 to 1.

    Args:
        lonlat: Longitudes and latitudes in the unit of the ranges.
        lon_range: Longitudes that are mapped to -1 and 1; the default is in degrees.
        lat_range: Latitudes that are mapped to -1 and 1; the default is in degrees.

    Raises:
        ValueError: If there are not two columns, or a range is empty.

    Example:
        >>> import jax.numpy as jnp
        >>> lonlat_scale(jnp.array([[90.0, -45.0]])).tolist()
        [[0.5, -0.5]]
    """
    lon_range = checked_range("lon_range", lon_range)
    lat_range = checked_range("lat_range", lat_range)
    x = _lonlat(lonlat)
    low, high = np.array([lon_range, lat_range], x.dtype).T
    return 2 * (x - low) / (high - low) - 1


def lonlat_to_cartesian3d(
    lonlat: Num[ArrayLike, "*batch 2"], *, input_unit: Unit = "radians"
) -> Float[Array, "*batch 3"]:
    r"""Points of the unit sphere from longitude $\lambda$ and latitude $\varphi$.

    $$(\cos\varphi \cos\lambda, \; \cos\varphi \sin\lambda, \; \sin\varphi)$$

    Args:
        lonlat: Longitudes and latitudes.
        input_unit: Their unit, ``"radians"`` or ``"degrees"``.

    Raises:
        ValueError: If there are not two columns, or the unit is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> pole = lonlat_to_cartesian3d(jnp.array([[0.0, 90.0]]), input_unit="degrees")
        >>> pole[0, 2].tolist()
        1.0
    """
    _checks.one_of("input_unit", input_unit, UNITS)
    x = _lonlat(lonlat)
    x = deg2rad(x) if input_unit == "degrees" else x
    lon, lat = x[..., 0], x[..., 1]
    z = jnp.cos(lat)
    return jnp.stack([z * jnp.cos(lon), z * jnp.sin(lon), jnp.sin(lat)], axis=-1)


def cyclic_encode(angles: Num[ArrayLike, "*batch"]) -> Float[Array, "*rest m"]:
    """Cosines, then sines of angles.

    Args:
        angles: Angles in radians, (N,) or rows of them, (N, D).

    Returns:
        Rows (N, 2), or (N, 2 D): the cosines of all columns, then the sines.

    Example:
        >>> import jax.numpy as jnp
        >>> cyclic_encode(jnp.zeros((3, 2)))[0].tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    angles = as_float(angles)
    columns = angles[..., None] if angles.ndim < 2 else angles
    return jnp.concatenate([jnp.cos(columns), jnp.sin(columns)], axis=-1)


def spherical_harmonic_encode(
    lonlat: Num[ArrayLike, "*batch 2"], l_max: int, *, input_unit: Unit = "radians"
) -> Float[Array, "*batch m"]:
    r"""Real spherical harmonics of longitude and latitude.

    $$Y_{l,m}, \qquad l = 0 \dots l_{max}, \quad m = -l \dots l$$

    They are orthonormal on the unit sphere and have no Condon-Shortley phase: sines of
    $|m| \lambda$ for negative $m$, cosines otherwise.

    Args:
        lonlat: Longitudes and latitudes.
        l_max: Highest degree, zero or more.
        input_unit: The unit of `lonlat`, ``"radians"`` or ``"degrees"``.

    Returns:
        The features on the last axis, of size $(l_{max} + 1)^2$; degree $l$ and order $m$ are
        at index $l^2 + l + m$.

    Raises:
        ValueError: If there are not two columns, the degree is negative, or the unit is
            unknown.
        TypeError: If `l_max` is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> spherical_harmonic_encode(jnp.zeros((5, 2)), 3).shape
        (5, 16)

    References:
        Rußwurm, Klemmer, Rolf, Zbinden, Tuia (2024), "Geographic location encoding with
        spherical harmonics and sinusoidal representation networks", ICLR, section 3.
    """
    l_max = _checks.count("l_max", l_max)
    return spherical_harmonics(lonlat_to_cartesian3d(lonlat, input_unit=input_unit), l_max)


def checked_range(name: str, values: Any) -> tuple[float, float]:
    """Check that `values` are two numbers, the lower first."""
    found = _checks.sequence(_checks.finite)(name, values)
    if len(found) != 2 or not found[0] < found[1]:
        raise ValueError(
            f"`{name}` must be two finite numbers, the lower first, got {values}."
        )
    return found[0], found[1]


def _lonlat(lonlat: ArrayLike) -> Array:
    x = as_float(lonlat)
    if x.ndim == 0 or x.shape[-1] != 2:
        raise ValueError(
            "`lonlat` must have two entries in its last axis, longitude and latitude, got "
            f"shape {x.shape}."
        )
    return x
