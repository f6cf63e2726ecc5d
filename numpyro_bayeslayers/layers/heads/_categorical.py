"""Likelihoods (links) of classes, ordered or not, and of proportions."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ...distributions._proportions import beta_of_log_odds
from ._cut_points import cut_points
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, of_excess_noise, parameter, rows_and_outputs


def logit_link(
    y_hat: Num[ArrayLike, "..."],
    y: ArrayLike | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Binary classes, predicted by their log odds.

    $$y_i \sim \text{Bernoulli}\big(1 / (1 + e^{-(\hat y_i + o_i)})\big)$$

    Args:
        y_hat: Predictions of the log odds, (n,), (n, 1), or (n, u) for several outputs.
        y: Classes 0 and 1 of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log odds.

    Sites:
        ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation is neither 0 nor 1, or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(logit_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        McCullagh and Nelder (1989), "Generalized linear models", chapter 4.
    """
    law = lambda y_hat: dist.Bernoulli(logits=y_hat)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat)


def categorical_link(
    y_hat: Num[ArrayLike, "..."],
    y: ArrayLike | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Unordered classes, predicted by their unnormalized log probabilities.

    $$P(y_i = k) \propto e^{\hat y_{ik} + o_{ik}}$$

    Args:
        y_hat: Predictions, (n, classes).
        y: Classes 0, 1, ... of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to the predictions, (n, classes) or (classes,).

    Sites:
        ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation is not a number of a class, a weight is negative, or if there are fewer
            than two classes.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(categorical_link, 0)(jnp.zeros((5, 3))).shape
        (5,)

    References:
        Agresti (2013), "Categorical data analysis", section 8.1.
    """
    y_hat = _checks.array("y_hat", y_hat)
    shape = y_hat.shape
    if len(shape) < 2 or shape[-1] < 2:
        raise ValueError(
            f"`y_hat` must be (n, classes) with two classes or more, got shape {shape}. For "
            "two classes by their log odds, use logit_link."
        )
    if offset is not None:
        if jnp.shape(offset)[-1:] != shape[-1:] or jnp.ndim(offset) > len(shape):
            raise ValueError(
                f"`offset` must be one number for each class, (n, {shape[-1]}) or "
                f"({shape[-1]},), got shape {jnp.shape(offset)}. One for each row changes no "
                "probability."
            )
        offset = _checks.array("offset", offset)
        if offset.ndim > 1 and offset.shape[-2] not in (1, shape[-2]):
            raise ValueError(
                f"`offset` must have the {shape[-2]} rows of `y_hat`, got shape "
                f"{offset.shape}."
            )
        y_hat = y_hat + offset
    logits = jnp.moveaxis(y_hat, -1, 0)
    law = lambda **classes: dist.Categorical(logits=jnp.stack([*classes.values()], -1))
    classes = {f"y_hat[:, {k}]": column for k, column in enumerate(logits)}
    rows: dict[str, Any] = {"weights": weights, "mask": mask}
    return observe(name, law, y, plate, **rows, **classes)


def ordinal_link(
    mu: Num[ArrayLike, "..."],
    y: ArrayLike | None = None,
    num_classes: int = 2,
    name: str = "obs",
    *,
    first_cut: Parameter = None,
    gaps: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Ordered classes with cut-points: the proportional-odds model.

    $$P(y_i \le k) = \frac{1}{1 + e^{-(c_k - \mu_i - o_i)}}, \qquad
    c_0 \sim N(0, 2),\quad c_k - c_{k-1} \sim \text{Exponential}(1)$$

    Each of several outputs has separate cut-points.

    Args:
        mu: Predictions, (n,), (n, 1), or (n, u) for several outputs; larger ones mean higher
            classes.
        y: Classes 0, ..., num_classes - 1 of the same rows, or None to draw them.
        num_classes: Number of classes, at least 2.
        name: Name of the observed site.
        first_cut: Another prior of the first cut-point, or its value.
        gaps: Another prior of each gap, or their values, positive: (num_classes - 2,).
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's prediction.

    Sites:
        ``{name}.first_cut`` of event shape (), or (u,) for several outputs;
        ``{name}.gaps`` of event shape (num_classes - 2,), or (u, num_classes - 2), if there
        are more than two classes; neither if its value is given; ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation is not a number of a class, a weight is negative, or if `num_classes` is
            below 2.
        TypeError: If `name` is not a string, `num_classes` is not an integer, or the mask is
            not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(ordinal_link, 0)(jnp.zeros((5, 1)), num_classes=4).shape
        (5,)

    References:
        McCullagh (1980), "Regression models for ordinal data", JRSS B 42, equation 2.1.
    """
    check_name(name)
    _checks.size("num_classes", num_classes)
    if num_classes < 2:
        raise ValueError(f"`num_classes` must be at least 2, got {num_classes}.")
    _, outputs = rows_and_outputs(mu)
    cuts = cut_points(name, first_cut, gaps, num_classes, outputs)

    def law(mu: Array) -> dist.Distribution:
        return dist.OrderedLogistic(mu, jnp.broadcast_to(cuts, mu.shape + cuts.shape[-1:]))

    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, mu=mu)


def beta_link(
    mu: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    precision: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Proportions strictly between 0 and 1, predicted by the log odds of their mean.

    $$y_i \sim \text{Beta}\big(m_i \phi,\ (1 - m_i) \phi\big), \qquad
    m_i = \frac{1}{1 + e^{-(\mu_i + o_i)}},\quad 1 / \sqrt\phi \sim \text{Exponential}(1)$$

    with variance $m_i (1 - m_i) / (1 + \phi)$. The prior of $1 / \sqrt\phi$, a relative standard
    deviation, has its highest density at zero, so that small noise is possible: at precisions
        of 1 to
    10,000, 90% intervals cover 88 to 92% of new observations (the page on likelihoods has the
    study). Each of several outputs has a separate $\phi$.

    Args:
        mu: Predictions of the mean's log odds, (n,), (n, 1), or (n, u) for several outputs.
        y: Proportions of the same rows, or None to draw them.
        name: Name of the observed site.
        precision: Another prior of $\phi$; or its value, positive: one number, or one for each
            row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to the log odds of each row's mean.

    Sites:
        ``{name}.precision`` of event shape (), or (u,) for several outputs, if it is drawn;
        ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an observation
            is not strictly between 0 and 1, a precision is not positive, or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(beta_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Ferrari and Cribari-Neto (2004), "Beta regression for modelling rates and
        proportions", Journal of Applied Statistics 31, equation 4.
    """
    check_name(name)
    size = rows_and_outputs(mu)
    phi = parameter(name, "precision", precision, of_excess_noise(), size)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, beta_of_log_odds, y, plate, **rows, mu=mu, precision=phi)
