"""Standardization, waves and products as modules, with their settings as fields."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ...basis import (
    fourier_features,
    interaction_features,
    seasonal_features,
    standardize,
)
from ...basis._fourier import as_float
from ...basis._interaction import checked_pairs
from ...basis._seasonal import check_seasons


class Standardization(eqx.Module):
    r"""Columns to zero mean and unit scale, $(x - \mu) / \sigma$, by constants.

    A plain module: it has no sites, and no optimizer sees its constants.

    Args:
        mu: Centers $\mu$, a number or one for each column.
        std: Standard deviations $\sigma$, positive, a number or one for each column.
        name: For uniformity; there are no sites to prefix.

    Raises:
        ValueError: If a standard deviation is not positive, the lengths differ, or the
            input has other columns.

    Example:
        >>> import jax.numpy as jnp
        >>> Standardization([0.0, 4.0], [2.0, 2.0])(jnp.array([[1.0, 10.0]])).tolist()
        [[0.5, 3.0]]
    """

    mu: float | tuple[float, ...] = setting(check=_checks.each(_checks.finite))
    std: float | tuple[float, ...] = setting(check=_checks.each(_checks.positive))
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        if np.ndim(self.mu) and np.ndim(self.std):
            _checks.same_length(mu=self.mu, std=self.std)

    def __call__(self, x: Num[ArrayLike, "*batch"]) -> Float[Array, "*batch"]:
        """The standardized columns, in the precision of `x`."""
        x = as_float(x)
        for name, values in {"mu": self.mu, "std": self.std}.items():
            if isinstance(values, tuple):
                _checks.last_axis("x", x, f"len({name})", len(values))
        return standardize(x, np.array(self.mu, x.dtype), np.array(self.std, x.dtype))


class FourierFeatures(eqx.Module):
    r"""Cosines and sines of doubling frequency, of each column by itself.

    For each column with a degree $m$ above zero, in order, the block
    $\cos(2\pi 2^d x), d = 0 \dots m - 1$, then the sines. A plain module without sites.

    Args:
        degrees: How many frequencies each column gets; zero leaves the column out.
        rescale: Whether to divide both features of frequency $2^d$ by $d + 1$.
        name: For uniformity; there are no sites to prefix.

    Raises:
        ValueError: If a degree is negative, or the input has other columns.
        TypeError: If a degree is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> FourierFeatures((2, 0, 3))(jnp.ones((5, 3))).shape
        (5, 10)

    References:
        Saad, Burnim, Carroll, Patton, Köster, Saurous, Hoffman (2024), "Scalable
        spatiotemporal prediction with Bayesian neural fields", Nature Communications 15,
        methods.
    """

    degrees: tuple[int, ...] = setting(check=_checks.sequence(_checks.count))
    rescale: bool = setting(check=_checks.switch, default=False)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __call__(self, x: Num[ArrayLike, "*batch d"]) -> Float[Array, "*batch m"]:
        """The blocks of all columns side by side."""
        x = _checks.array("x", x)
        _checks.last_axis("x", x, "len(degrees)", len(self.degrees))
        blocks = [
            fourier_features(x[..., column], degree, rescale=self.rescale)
            for column, degree in enumerate(self.degrees)
        ]
        return jnp.concatenate(blocks, axis=-1)


class SeasonalFeatures(eqx.Module):
    r"""Cosines and sines of the harmonics of periods, of times.

    $\cos(2\pi h x / \tau), h = 1 \dots H$ of each period, then the sines; accurate for times
    of any size. A plain module without sites.

    Args:
        periods: Periods $\tau$, positive, in the units of the times.
        harmonics: How many harmonics $H$ each period has.
        rescale: Whether to divide the features of harmonic $h$ by $h$.
        name: For uniformity; there are no sites to prefix.

    Raises:
        ValueError: If the lengths differ, a period is not positive or a count is negative.
        TypeError: If a count is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> SeasonalFeatures((7.0, 365.25), (2, 3))(jnp.arange(5.0)).shape
        (5, 10)

    References:
        Saad, Burnim, Carroll, Patton, Köster, Saurous, Hoffman (2024), "Scalable
        spatiotemporal prediction with Bayesian neural fields", Nature Communications 15,
        methods.
    """

    periods: tuple[float, ...] = setting(check=_checks.sequence(_checks.positive))
    harmonics: tuple[int, ...] = setting(check=_checks.sequence(_checks.count))
    rescale: bool = setting(check=_checks.switch, default=False)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        check_seasons("periods", self.periods, "harmonics", self.harmonics)

    def __call__(self, x: Num[ArrayLike, "*batch"]) -> Float[Array, "*batch m"]:
        """The features on a new last axis."""
        return seasonal_features(x, self.periods, self.harmonics, rescale=self.rescale)


class InteractionFeatures(eqx.Module):
    """Products of pairs of columns.

    A plain module without sites.

    Args:
        pairs: Pairs of column numbers from zero; no pair gives no feature.
        name: For uniformity; there are no sites to prefix.

    Raises:
        ValueError: If `pairs` is not a list of pairs, or names a column that the input lacks.
        TypeError: If a column number is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> InteractionFeatures([(0, 1), (1, 2)])(jnp.array([[2.0, 3.0, 5.0]])).tolist()
        [[6.0, 15.0]]
    """

    pairs: tuple[tuple[int, int], ...] = setting(check=checked_pairs)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __call__(self, x: Num[ArrayLike, "*batch d"]) -> Float[Array, "*batch k"]:
        """The products, in the order of the pairs."""
        return interaction_features(x, self.pairs)
