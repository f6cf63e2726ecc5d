"""Encodings of geographic locations and angles as modules."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ...basis import (
    cyclic_encode,
    deg2rad,
    lonlat_scale,
    lonlat_to_cartesian3d,
    spherical_harmonic_encode,
)
from ...basis._fourier import as_float
from ...basis._geographic import UNITS, Unit, checked_range
from ...basis._spherical_harmonics import spherical_harmonics


class Deg2Rad(eqx.Module):
    r"""Convert degrees to radians, $\pi x / 180$.

    This is a plain module without sites.

    Args:
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Example:
        >>> round(float(Deg2Rad()(180.0)), 4)
        3.1416
    """

    name: str | None = setting(check=_checks.optional_label, default=None)

    def __call__(self, x: Num[ArrayLike, "*batch"]) -> Float[Array, "*batch"]:
        """The angles in radians."""
        return deg2rad(x)


class LonLatScale(eqx.Module):
    """Scale longitude and latitude linearly to the interval from -1 to 1.

    This is a plain module without sites.

    Args:
        lon_range: Longitudes that are mapped to -1 and 1; the default is in degrees.
        lat_range: Latitudes that are mapped to -1 and 1; the default is in degrees.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a range is empty, or the input does not have two columns.

    Example:
        >>> import jax.numpy as jnp
        >>> LonLatScale((0.0, 40.0), (40.0, 60.0))(jnp.array([[10.0, 50.0]])).tolist()
        [[-0.5, 0.0]]
    """

    lon_range: tuple[float, float] = setting(check=checked_range, default=(-180.0, 180.0))
    lat_range: tuple[float, float] = setting(check=checked_range, default=(-90.0, 90.0))
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __call__(self, lonlat: Num[ArrayLike, "*batch 2"]) -> Float[Array, "*batch 2"]:
        """The scaled longitudes and latitudes."""
        return lonlat_scale(lonlat, lon_range=self.lon_range, lat_range=self.lat_range)


class Cartesian3DEncoder(eqx.Module):
    r"""Points of the unit sphere from longitude $\lambda$ and latitude $\varphi$.

    $$(\cos\varphi \cos\lambda, \; \cos\varphi \sin\lambda, \; \sin\varphi)$$

    Neighbors across the date line remain close. This is a plain module without sites.

    Args:
        input_unit: The unit of the input, ``"radians"`` or ``"degrees"``.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If the unit is unknown, or the input does not have two columns.

    Example:
        >>> import jax.numpy as jnp
        >>> Cartesian3DEncoder("degrees")(jnp.array([[180.0, 0.0]]))[0, 0].tolist()
        -1.0
    """

    input_unit: Unit = setting(check=_checks.choice(*UNITS), default="radians")
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __call__(self, lonlat: Num[ArrayLike, "*batch 2"]) -> Float[Array, "*batch 3"]:
        """The points; the x axis points to longitude 0, the z axis to the north pole."""
        return lonlat_to_cartesian3d(lonlat, input_unit=self.input_unit)


class CyclicEncoder(eqx.Module):
    """Cosines, then sines, of angles in radians.

    This is a plain module without sites.

    Args:
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Example:
        >>> import jax.numpy as jnp
        >>> CyclicEncoder()(jnp.zeros((3, 2))).shape
        (3, 4)
    """

    name: str | None = setting(check=_checks.optional_label, default=None)

    def __call__(self, angles: Num[ArrayLike, "*batch"]) -> Float[Array, "*rest m"]:
        """Rows (N, 2) of angles (N,), or rows (N, 2 D) of rows (N, D)."""
        return cyclic_encode(angles)


class SphericalHarmonicEncoder(eqx.Module):
    r"""Real spherical harmonics of locations on the globe.

    $$Y_{l,m}, \qquad l = 0 \dots l_{max}, \quad m = -l \dots l$$

    They are orthonormal on the unit sphere, without the Condon-Shortley phase. Values and
    gradients are finite at the poles. This is a plain module without sites.

    Args:
        l_max: Highest degree, zero or more; there are $(l_{max} + 1)^2$ features.
        input_mode: ``"cartesian"`` for vectors (N, 3), of which only the direction matters, or
            ``"lonlat"`` for longitudes and latitudes (N, 2) in radians.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If the degree is negative, the mode is unknown, or the input has the wrong
            number of columns.
        TypeError: If `l_max` is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> SphericalHarmonicEncoder(3, "lonlat")(jnp.zeros((5, 2))).shape
        (5, 16)

    References:
        Rußwurm, Klemmer, Rolf, Zbinden, Tuia (2024), "Geographic location encoding with
        spherical harmonics and sinusoidal representation networks", ICLR, section 3.
    """

    l_max: int = setting(check=_checks.count)
    input_mode: Literal["cartesian", "lonlat"] = setting(
        check=_checks.choice("cartesian", "lonlat"), default="cartesian"
    )
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __call__(self, x: Num[ArrayLike, "*batch d"]) -> Float[Array, "*batch m"]:
        """The features, sorted by degree, then by order."""
        if self.input_mode == "lonlat":
            return spherical_harmonic_encode(x, self.l_max)
        x = as_float(x)
        if x.ndim == 0 or x.shape[-1] != 3:
            raise ValueError(
                "`x` must have three entries in its last axis, a direction in space, got "
                f"shape {jnp.shape(x)}. For longitude and latitude use "
                '`input_mode="lonlat"`.'
            )
        return spherical_harmonics(x, self.l_max)
