"""Likelihoods (links) of positive observations: the prediction is the logarithm of their mean."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from jaxtyping import Array, ArrayLike, Num
from numpyro.distributions.transforms import PowerTransform

from ...distributions._positive import InverseGaussian, MeanGamma
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, of_excess_noise, parameter, rows_and_outputs


def gamma_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    concentration: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Gamma observations, whose standard deviation is proportional to their mean.

    $$y_i \sim \text{Gamma}\big(\kappa,\ \text{mean } \mu_i = e^{\hat y_i + o_i}\big), \qquad
    \text{var} = \mu_i^2 / \kappa, \qquad 1 / \sqrt{\kappa} \sim \text{Exponential}(1)$$

    $1 / \sqrt\kappa$ is the relative standard deviation. Its prior has the highest density at
    zero, so that small noise is possible. Each of several outputs has a separate $\kappa$.

    Args:
        y_hat: Predictions of the log mean, (n,), (n, 1), or (n, u) for several outputs.
        y: Positive observations of the same rows, or None to draw them.
        name: Name of the observed site.
        concentration: Another prior of $\kappa$; or its value, positive: one number, or one for
            each row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log mean: the logarithm of its exposure.

    Sites:
        ``{name}.concentration`` of event shape (), or (u,) for several outputs, if it is
        drawn; ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation is not positive, a parameter is not positive, or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(gamma_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        McCullagh and Nelder (1989), "Generalized linear models", chapter 8.
    """
    check_name(name)
    size = rows_and_outputs(y_hat)
    kappa = parameter(name, "concentration", concentration, of_excess_noise(), size)
    law = lambda y_hat, concentration: MeanGamma(y_hat, concentration)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, concentration=kappa)


def inverse_gaussian_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    shape: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Inverse Gaussian observations, with a heavier tail than the gamma distribution.

    $$y_i \sim \text{IG}\big(\text{mean } \mu_i = e^{\hat y_i + o_i},\ \lambda\big), \qquad
    \text{var} = \mu_i^3 / \lambda, \qquad 1 / \sqrt{\lambda} \sim \text{Exponential}(1)$$

    The prior of $\lambda$ is for observations of order one. Each of several outputs has a
    separate $\lambda$.

    Args:
        y_hat: Predictions of the log mean, (n,), (n, 1), or (n, u) for several outputs.
        y: Positive observations of the same rows, or None to draw them.
        name: Name of the observed site.
        shape: Another prior of $\lambda$; or its value, positive: one number, or one for each
            row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log mean: the logarithm of its exposure.

    Sites:
        ``{name}.shape`` of event shape (), or (u,) for several outputs, if it is drawn;
        ``{name}``, observed.

    Raises:
        ValueError: As `gamma_link`.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(inverse_gaussian_link, 0)(jnp.zeros(5), shape=2.0).shape
        (5,)

    References:
        Chhikara and Folks (1989), "The inverse Gaussian distribution", chapter 2.
    """
    check_name(name)
    size = rows_and_outputs(y_hat)
    drawn = parameter(name, "shape", shape, of_excess_noise(), size)
    law = lambda y_hat, shape: InverseGaussian(y_hat, shape)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, shape=drawn)


def exponential_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Exponential (memoryless) waiting times.

    $$y_i \sim \text{Exponential}(1 / \mu_i), \qquad \mu_i = e^{\hat y_i + o_i}$$

    Args:
        y_hat: Predictions of the log mean, (n,), (n, 1), or (n, u) for several outputs.
        y: Observations of at least 0 of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log mean: the logarithm of its exposure.

    Sites:
        ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(exponential_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Kalbfleisch and Prentice (2002), "The statistical analysis of failure time data",
        section 2.3.
    """
    law = lambda y_hat: dist.Exponential(jnp.exp(-y_hat))
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat)


def weibull_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    concentration: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Weibull waiting times, whose hazard rises or falls with time.

    $$y_i \sim \text{Weibull}\big(k,\ \text{mean } \mu_i = e^{\hat y_i + o_i}\big), \qquad
    \text{scale} = \mu_i / \Gamma(1 + 1 / k), \qquad 1 / k \sim \text{Exponential}(1)$$

    $1 / k$ is the scale of the observations' logarithm: the hazard rises for k above 1. A
    difference of predictions is an accelerated failure time: $e^\Delta$ times as long. Each of
    several outputs has a separate k. For censored times, use
    ``censored(weibull_link, upper=...)``.

    Args:
        y_hat: Predictions of the log mean, (n,), (n, 1), or (n, u) for several outputs.
        y: Positive observations of the same rows, or None to draw them.
        name: Name of the observed site.
        concentration: Another prior of k; or its value, positive: one number, or one for each
            row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log mean: the logarithm of its exposure.

    Sites:
        ``{name}.concentration`` of event shape (), or (u,) for several outputs, if it is
        drawn; ``{name}``, observed.

    Raises:
        ValueError: As `gamma_link`.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(weibull_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Kalbfleisch and Prentice (2002), "The statistical analysis of failure time data",
        section 2.3.
    """
    check_name(name)
    prior = dist.TransformedDistribution(dist.Exponential(1.0), PowerTransform(-1.0))
    size = rows_and_outputs(y_hat)
    k = parameter(name, "concentration", concentration, prior, size)

    def law(y_hat: Array, concentration: Array) -> dist.Distribution:
        scale = jnp.exp(y_hat - gammaln(1 + 1 / concentration))
        return dist.Weibull(scale, concentration)

    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, concentration=k)
