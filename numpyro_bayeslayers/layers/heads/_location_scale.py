"""Likelihoods (links) of real-valued observations."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ..._base import split_plates
from ...primitives import plate_shape
from ..regression._prior import Family, Prior
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, parameter, rows_and_outputs

_UNIT_RATE: Mapping[str, Any] = MappingProxyType({"rate": 1.0})


def gaussian_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    scale: Parameter = None,
    untransformed_scale: ArrayLike | None = None,
    sigma_dist: Family = dist.Exponential,
    sigma_kwargs: Mapping[str, Any] = _UNIT_RATE,
    *,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Normal observations around a prediction.

    $$y_i \sim N(\hat y_i + o_i,\ \sigma), \qquad \sigma \sim \text{Exponential}(1)$$

    Each of several outputs has a separate $\sigma$. Its prior is for outcomes of order one: its
    density is highest at zero, so that small noise is possible, and negligible above ten.

    Args:
        y_hat: Predictions, (n,), (n, 1), or (n, u) for several outputs.
        y: Observations of the same rows, or None to draw them.
        name: Name of the observed site.
        scale: A known standard deviation, positive: one number, or one for each row, output or
            observation; or its prior, a distribution.
        untransformed_scale: A prediction of the standard deviation before a softplus.
        sigma_dist: The prior of $\sigma$, if neither scale is given: a class, or a
            distribution of positive numbers.
        sigma_kwargs: Keywords of `sigma_dist`, if it is a class.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0: (n,), (n, 1), or (n, u).
        mask: Whether each row enters the likelihood, Boolean, in the same form.
        offset: Known term that is added to each row's prediction, in the same form; it is
            not learned.

    Sites:
        ``{name}.sigma`` of event shape (), or (u,) for several outputs, unless a scale is
        given; ``{name}``, observed.

    Returns:
        The observations or draws of them, (n,) for one output.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation is not finite, a scale is not positive, a weight is negative, or if both
            scales are given.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, trace
        >>> list(trace(seed(gaussian_link, 0)).get_trace(jnp.zeros((5, 1)), jnp.zeros(5)))
        ['obs.sigma', 'obs']

    References:
        Gelman, Hill, Vehtari (2020), "Regression and other stories", chapter 3, for the model.
    """
    sigma = _sigma(name, y_hat, scale, untransformed_scale, sigma_dist, sigma_kwargs)
    law = lambda y_hat, scale: dist.Normal(y_hat, scale)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, scale=sigma)


def lognormal_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    scale: Parameter = None,
    untransformed_scale: ArrayLike | None = None,
    sigma_dist: Family = dist.Exponential,
    sigma_kwargs: Mapping[str, Any] = _UNIT_RATE,
    *,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Positive observations that are normal on the log scale around a prediction.

    $$\log y_i \sim N(\hat y_i + o_i,\ \sigma), \qquad \sigma \sim \text{Exponential}(1)$$

    Arguments and sites are those of `gaussian_link`; `y_hat` is the logarithm of the median.

    Raises:
        ValueError: As `gaussian_link`, and if an observation is not positive.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(lognormal_link, 0)(jnp.zeros(5)).shape
        (5,)
    """
    sigma = _sigma(name, y_hat, scale, untransformed_scale, sigma_dist, sigma_kwargs)
    law = lambda y_hat, scale: dist.LogNormal(y_hat, scale)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, scale=sigma)


def student_t_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    scale: Parameter = None,
    untransformed_scale: ArrayLike | None = None,
    sigma_dist: Family = dist.Exponential,
    sigma_kwargs: Mapping[str, Any] = _UNIT_RATE,
    *,
    df: Parameter = 4.0,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Observations with outliers: Student's t around a prediction.

    $$y_i \sim t_{\nu}(\hat y_i + o_i,\ \sigma), \qquad \sigma \sim \text{Exponential}(1)$$

    Arguments and sites are those of `gaussian_link`, plus `df`, the degrees of freedom $\nu$,
    positive: a number, one for each row or output, or a prior, which adds the site
    ``{name}.df``. A common prior is ``dist.Gamma(2.0, 0.1)``.

    Raises:
        ValueError: As `gaussian_link`, and if `df` is not positive.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(student_t_link, 0)(jnp.zeros(5), df=3.0).shape
        (5,)

    References:
        Lange, Little, Taylor (1989), "Robust statistical modeling using the t distribution",
        JASA 84; Juárez and Steel (2010), "Model-based clustering of non-Gaussian panel data",
        JBES 28, for the prior of `df`.
    """
    sigma = _sigma(name, y_hat, scale, untransformed_scale, sigma_dist, sigma_kwargs)
    nu = parameter(name, "df", df, None, rows_and_outputs(y_hat))
    law = lambda y_hat, scale, df: dist.StudentT(df, y_hat, scale)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, scale=sigma, df=nu)


def heteroscedastic_link(
    y_hat: Num[ArrayLike, "..."],
    scale_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Normal observations with predicted mean and standard deviation.

    $$y_i \sim N\big(\hat y_i + o_i,\ \text{softplus}(\hat s_i)\big)$$

    Args:
        y_hat: Predictions of the mean, (n,), (n, 1), or (n, u) for several outputs.
        scale_hat: Predictions of the standard deviation before the softplus, in the same
            form.
        y: Observations of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's predicted mean.

    Sites:
        ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation is not finite, or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(heteroscedastic_link, 0)(jnp.zeros(5), jnp.zeros((5, 1))).shape
        (5,)

    References:
        Nix and Weigend (1994), "Estimating the mean and variance of the target probability
        distribution", ICNN.
    """
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    scale_hat = _checks.array("scale_hat", scale_hat)
    if len(split_plates(scale_hat.shape, plate_shape())[1]) > 2:
        raise ValueError(
            f"`scale_hat` must be (n,), (n, 1) or (n, outputs), got shape {scale_hat.shape}."
        )
    return gaussian_link(y_hat, y, name, untransformed_scale=scale_hat, plate=plate, **rows)


def _sigma(
    name: str,
    y_hat: ArrayLike,
    scale: Parameter,
    untransformed_scale: ArrayLike | None,
    sigma_dist: Family,
    sigma_kwargs: Mapping[str, Any],
) -> ArrayLike:
    """The standard deviation: known, predicted, or drawn at the site ``{name}.sigma``."""
    check_name(name)
    if scale is not None and untransformed_scale is not None:
        raise ValueError(
            "`scale` and `untransformed_scale` both set the standard deviation: give only one."
        )
    if untransformed_scale is not None:
        return jax.nn.softplus(_checks.array("untransformed_scale", untransformed_scale))
    size = rows_and_outputs(y_hat)
    if scale is not None:
        return parameter(name, "scale", scale, None, size, site="sigma")
    prior = Prior("sigma", sigma_dist, sigma_kwargs, _UNIT_RATE, False).over(())
    return parameter(name, "sigma_dist", prior, None, size, site="sigma")
