"""Standardization, Fourier features and interactions as modules."""

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
    r"""Standardize columns with fixed constants, $(x - \mu) / \sigma$.

    This is a plain module: it has no sites, and its constants are not trained.

    Args:
        mu: Centers $\mu$, one number, or one for each column.
        std: Standard deviations $\sigma$, positive, one number, or one for each column.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a standard deviation is not positive, the lengths differ, or the input
            has a different number of columns.

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
    r"""Cosines and sines of doubling frequency, for each column separately.

    For each column with a degree $m$ above zero, in order, the block
    $\cos(2\pi 2^d x), d = 0 \dots m - 1$, followed by the sines. This is a plain module without
    sites.

    Args:
        degrees: Number of frequencies of each column; zero omits the column.
        rescale: Whether to divide both features of frequency $2^d$ by $d + 1$.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a degree is negative, or the input has a different number of columns.
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
        """The blocks of all columns, concatenated."""
        x = _checks.array("x", x)
        _checks.last_axis("x", x, "len(degrees)", len(self.degrees))
        blocks = [
            fourier_features(x[..., column], degree, rescale=self.rescale)
            for column, degree in enumerate(self.degrees)
        ]
        return jnp.concatenate(blocks, axis=-1)


class SeasonalFeatures(eqx.Module):
    r"""Cosines and sines of times at the harmonics of given periods.

    $\cos(2\pi h x / \tau), h = 1 \dots H$ for each period, followed by the sines; accurate for
    times of any magnitude. This is a plain module without sites.

    Args:
        periods: Periods $\tau$, positive, in the units of the times.
        harmonics: Number of harmonics $H$ of each period.
        rescale: Whether to divide the features of harmonic $h$ by $h$.
        name: Accepted for uniformity and unused: there are no sites to prefix.

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

    This is a plain module without sites.

    Args:
        pairs: Pairs of column numbers, counted from zero; without pairs there are no features.
        name: Accepted for uniformity and unused: there are no sites to prefix.

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
