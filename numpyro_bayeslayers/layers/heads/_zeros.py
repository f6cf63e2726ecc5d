"""Likelihoods (links) of counts with a separate model of zeros."""

from typing import Any

import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ...distributions._counts import LogNegativeBinomial, LogPoisson
from ...distributions._hurdle import Hurdle
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, of_excess_noise, parameter, rows_and_outputs


def zinb_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    gate: Parameter = None,
    concentration: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Zero-inflated negative binomial counts, predicted by the log mean of the others.

    $$y_i \sim \pi\,\delta_0 + (1 - \pi)\,\text{NB}(e^{\hat y_i + o_i}, \kappa), \qquad
    \pi \sim \text{Beta}(1, 10), \quad 1 / \sqrt\kappa \sim \text{Exponential}(1)$$

    The mean of all counts is $(1 - \pi) e^{\hat y_i + o_i}$. Each of several outputs has a
    separate $\pi$ and $\kappa$.

    Args:
        y_hat: Predictions of the log mean of counts that are not extra zeros, (n,), (n, 1), or
            (n, u) for several outputs.
        y: Counts of the same rows, or None to draw them.
        name: Name of the observed site.
        gate: Another prior of $\pi$; or its value between 0 and 1: one number, or one for each
            row, output or observation.
        concentration: Another prior of $\kappa$; or its value, positive: one number, or one for
            each row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log mean: the logarithm of its exposure.

    Sites:
        ``{name}.gate`` and ``{name}.concentration`` of event shape (), or (u,) for several
        outputs, if they are drawn; ``{name}``, observed.

    Returns:
        The observations or draws of them, which are whole numbers in floating point.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an observation
            is not a count, a gate is not between 0 and 1, a parameter is not positive, or a
            weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(zinb_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Greene (1994), "Accounting for excess zeros and sample selection in Poisson and
        negative binomial regression models", NYU working paper EC-94-10.
    """
    check_name(name)
    size = rows_and_outputs(y_hat)
    extra = parameter(name, "gate", gate, dist.Beta(1.0, 10.0), size, high=1.0)
    kappa = parameter(name, "concentration", concentration, of_excess_noise(), size)

    def law(y_hat: Array, gate: Array, concentration: Array) -> dist.Distribution:
        counts = LogNegativeBinomial(y_hat, concentration)
        return dist.ZeroInflatedDistribution(counts, gate=gate)

    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    own = {"gate": extra, "concentration": kappa}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, **own)


def hurdle_poisson_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    gate: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Hurdle Poisson counts: a probability of zero, otherwise zero-truncated counts.

    $$P(y_i = 0) = \pi, \qquad
    P(y_i = k) = (1 - \pi) \frac{\text{Poisson}(k \mid e^{\hat y_i + o_i})}
    {1 - \text{Poisson}(0 \mid e^{\hat y_i + o_i})}, \quad k \ge 1, \qquad
    \pi \sim \text{Uniform}(0, 1)$$

    All zeros come from $\pi$: there may be more or fewer than under a Poisson. Each of several
    outputs has a separate $\pi$.

    Args:
        y_hat: Predictions of the log rate before the zeros are taken out, (n,), (n, 1), or
            (n, u) for several outputs.
        y: Counts of the same rows, or None to draw them.
        name: Name of the observed site.
        gate: Another prior of $\pi$; or its value between 0 and 1: one number, or one for each
            row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log rate: the logarithm of its exposure.

    Sites:
        ``{name}.gate`` of event shape (), or (u,) for several outputs, if it is drawn;
        ``{name}``, observed.

    Returns:
        The observations or draws of them, which are whole numbers in floating point.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an observation
            is not a count, a gate is not between 0 and 1, a parameter is not positive, or a
            weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(hurdle_poisson_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Mullahy (1986), "Specification and testing of some modified count data models",
        Journal of Econometrics 33.
    """
    check_name(name)
    size = rows_and_outputs(y_hat)
    zeros = parameter(name, "gate", gate, dist.Uniform(0.0, 1.0), size, high=1.0)
    law = lambda y_hat, gate: Hurdle(LogPoisson(y_hat), gate)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, gate=zeros)


def hurdle_negative_binomial_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    gate: Parameter = None,
    concentration: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Hurdle negative binomial counts: a probability of zero, otherwise zero-truncated counts.

    $$P(y_i = 0) = \pi, \qquad
    P(y_i = k) = (1 - \pi) \frac{\text{NB}(k \mid e^{\hat y_i + o_i}, \kappa)}
    {1 - \text{NB}(0 \mid e^{\hat y_i + o_i}, \kappa)}, \quad k \ge 1, \qquad
    \pi \sim \text{Uniform}(0, 1), \quad 1 / \sqrt\kappa \sim \text{Exponential}(1)$$

    All zeros come from $\pi$. Each of several outputs has a separate $\pi$ and $\kappa$.

    Args:
        y_hat: Predictions of the log mean before the zeros are taken out, (n,), (n, 1), or
            (n, u) for several outputs.
        y: Counts of the same rows, or None to draw them.
        name: Name of the observed site.
        gate: Another prior of $\pi$; or its value between 0 and 1: one number, or one for each
            row, output or observation.
        concentration: Another prior of $\kappa$; or its value, positive: one number, or one for
            each row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log mean: the logarithm of its exposure.

    Sites:
        ``{name}.gate`` and ``{name}.concentration`` of event shape (), or (u,) for several
        outputs, if they are drawn; ``{name}``, observed.

    Returns:
        The observations or draws of them, which are whole numbers in floating point.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an observation
            is not a count, a gate is not between 0 and 1, a parameter is not positive, or a
            weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(hurdle_negative_binomial_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Mullahy (1986), "Specification and testing of some modified count data models",
        Journal of Econometrics 33.
    """
    check_name(name)
    size = rows_and_outputs(y_hat)
    zeros = parameter(name, "gate", gate, dist.Uniform(0.0, 1.0), size, high=1.0)
    kappa = parameter(name, "concentration", concentration, of_excess_noise(), size)

    def law(y_hat: Array, gate: Array, concentration: Array) -> dist.Distribution:
        return Hurdle(LogNegativeBinomial(y_hat, concentration), gate)

    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    own = {"gate": zeros, "concentration": kappa}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, **own)
