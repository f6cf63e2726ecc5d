"""Links of real-valued observations."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ...primitives import sample, scope
from ._observation import Plate, check_name, observe

_UNIT_RATE: Mapping[str, Any] = MappingProxyType({"rate": 1.0})


def gaussian_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    scale: ArrayLike | None = None,
    untransformed_scale: ArrayLike | None = None,
    sigma_dist: type[dist.Distribution] = dist.Exponential,
    sigma_kwargs: Mapping[str, Any] = _UNIT_RATE,
    *,
    plate: Plate = None,
) -> Array:
    r"""Normal observations around a prediction.

    $$y_i \sim N(\hat y_i,\ \sigma), \qquad \sigma \sim \text{Exponential}(1)$$

    Args:
        y_hat: Predictions, (n,), (n, 1), or (n, u) for several outputs.
        y: Observations of the same rows, or None to draw them.
        name: Name of the observed site.
        scale: A standard deviation that is known, positive: one, or one for each row.
        untransformed_scale: A prediction of the standard deviation before a softplus.
        sigma_dist: Class of the prior of $\sigma$, if neither scale is given.
        sigma_kwargs: Its keywords.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}.sigma`` of event shape (), unless a scale is given; ``{name}``, observed.

    Returns:
        The observations or draws of them, (n,) for one output.

    Raises:
        ValueError: If predictions and observations do not line up row by row, if `scale` is
            not positive, or if both scales are given.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, trace
        >>> list(trace(seed(gaussian_link, 0)).get_trace(jnp.zeros((5, 1)), jnp.zeros(5)))
        ['obs.sigma', 'obs']

    References:
        Gelman, Hill, Vehtari (2020), "Regression and other stories", chapter 3, for the model.
    """
    sigma = _sigma(name, scale, untransformed_scale, sigma_dist, sigma_kwargs)
    law = lambda y_hat, scale: dist.Normal(y_hat, scale)
    return observe(name, law, y, plate, y_hat=y_hat, scale=sigma)


def lognormal_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    scale: ArrayLike | None = None,
    untransformed_scale: ArrayLike | None = None,
    sigma_dist: type[dist.Distribution] = dist.Exponential,
    sigma_kwargs: Mapping[str, Any] = _UNIT_RATE,
    *,
    plate: Plate = None,
) -> Array:
    r"""Positive observations, normal on the log scale around a prediction.

    $$\log y_i \sim N(\hat y_i,\ \sigma), \qquad \sigma \sim \text{Exponential}(1)$$

    Args and sites are those of `gaussian_link`; `y_hat` is the median's logarithm.

    Raises:
        ValueError: As `gaussian_link`.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(lognormal_link, 0)(jnp.zeros(5)).shape
        (5,)
    """
    sigma = _sigma(name, scale, untransformed_scale, sigma_dist, sigma_kwargs)
    law = lambda y_hat, scale: dist.LogNormal(y_hat, scale)
    return observe(name, law, y, plate, y_hat=y_hat, scale=sigma)


def student_t_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    scale: ArrayLike | None = None,
    untransformed_scale: ArrayLike | None = None,
    sigma_dist: type[dist.Distribution] = dist.Exponential,
    sigma_kwargs: Mapping[str, Any] = _UNIT_RATE,
    *,
    df: float = 4.0,
    plate: Plate = None,
) -> Array:
    r"""Observations with outliers: Student's t around a prediction.

    $$y_i \sim t_{\nu}(\hat y_i,\ \sigma), \qquad \sigma \sim \text{Exponential}(1)$$

    Args and sites are those of `gaussian_link`, and `df`, the degrees of freedom $\nu$,
    positive.

    Raises:
        ValueError: As `gaussian_link`, and if `df` is not positive.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(student_t_link, 0)(jnp.zeros(5), df=3.0).shape
        (5,)

    References:
        Lange, Little, Taylor (1989), "Robust statistical modeling using the t distribution",
        JASA 84.
    """
    _checks.positive("df", df)
    sigma = _sigma(name, scale, untransformed_scale, sigma_dist, sigma_kwargs)
    law = lambda y_hat, scale: dist.StudentT(df, y_hat, scale)
    return observe(name, law, y, plate, y_hat=y_hat, scale=sigma)


def heteroscedastic_link(
    y_hat: Num[ArrayLike, "..."],
    scale_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
) -> Array:
    r"""Normal observations whose standard deviation is predicted too.

    $$y_i \sim N\big(\hat y_i,\ \text{softplus}(\hat s_i)\big)$$

    Args:
        y_hat: Predictions of the mean, (n,) or (n, 1).
        scale_hat: Predictions of the standard deviation before the softplus, likewise.
        y: Observations of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}``, observed.

    Raises:
        ValueError: If predictions and observations do not line up row by row.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(heteroscedastic_link, 0)(jnp.zeros(5), jnp.zeros((5, 1))).shape
        (5,)

    References:
        Nix and Weigend (1994), "Estimating the mean and variance of the target probability
        distribution", ICNN.
    """
    return gaussian_link(y_hat, y, name, untransformed_scale=scale_hat, plate=plate)


def _sigma(
    name: str,
    scale: ArrayLike | None,
    untransformed_scale: ArrayLike | None,
    sigma_dist: type[dist.Distribution],
    sigma_kwargs: Mapping[str, Any],
) -> ArrayLike:
    """The standard deviation: known, predicted, or drawn at the site ``{name}.sigma``."""
    check_name(name)
    if scale is not None and untransformed_scale is not None:
        raise ValueError(
            "`scale` and `untransformed_scale` are two ways to give one number: give one."
        )
    if scale is not None:
        _checks.all_positive("scale", scale)
        return scale
    if untransformed_scale is not None:
        return jax.nn.softplus(untransformed_scale)
    with scope(prefix=name):
        return sample("sigma", sigma_dist(**sigma_kwargs), rank=1)
