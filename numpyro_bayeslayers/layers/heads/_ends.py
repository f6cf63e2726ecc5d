"""Likelihoods (links) of proportions that may be exactly 0 or 1."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ...distributions._ends import BetaWithEnds
from ...distributions._proportions import beta_of_log_odds
from ._cut_points import cut_points
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, of_excess_noise, parameter, rows_and_outputs


def zero_one_beta_link(
    mu: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    precision: Parameter = None,
    ends: Parameter = None,
    ones: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Proportions with zeros and ones whose probability is independent of the prediction.

    $$P(y_i \in \{0, 1\}) = \pi, \qquad P(y_i = 1 \mid y_i \in \{0, 1\}) = \omega, \qquad
    \text{otherwise } y_i \sim \text{Beta}\big(m_i \phi,\ (1 - m_i) \phi\big), \quad
    m_i = \frac{1}{1 + e^{-(\mu_i + o_i)}}$$

    The priors are those of `beta_link` for $\phi$, and uniform for $\pi$ and $\omega$. If zeros
    and ones are the ends of the same scale, use `ordered_beta_link`. Each of several outputs
    has separate parameters.

    Args:
        mu: Predictions of the log odds of the mean inside, (n,), (n, 1), or (n, u) for
            several outputs.
        y: Proportions from 0 to 1 of the same rows, or None to draw them.
        name: Name of the observed site.
        precision: Another prior of $\phi$; or its value, positive: one number, or one for each
            row, output or observation.
        ends: Another prior of $\pi$; or its value between 0 and 1, as for `precision`.
        ones: Another prior of $\omega$; or its value between 0 and 1, as for `precision`.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log odds.

    Sites:
        ``{name}.precision``, ``{name}.ends``, ``{name}.ones`` of event shape (), or (u,) for
        several outputs, if they are drawn; ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an observation
            is not from 0 to 1, a parameter is out of range, or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(zero_one_beta_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Ospina and Ferrari (2010), "Inflated beta distributions", Statistical Papers 51.
    """
    check_name(name)
    size = rows_and_outputs(mu)
    own = {
        "precision": parameter(name, "precision", precision, of_excess_noise(), size),
        "ends": parameter(name, "ends", ends, dist.Uniform(0.0, 1.0), size, high=1.0),
        "ones": parameter(name, "ones", ones, dist.Uniform(0.0, 1.0), size, high=1.0),
    }

    def law(mu: Array, precision: Array, ends: Array, ones: Array) -> dist.Distribution:
        log_ends = jnp.log(ends)
        logs = log_ends + jnp.log1p(-ones), log_ends + jnp.log(ones), jnp.log1p(-ends)
        return BetaWithEnds(beta_of_log_odds(mu, precision), *logs)

    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, mu=mu, **own)


def ordered_beta_link(
    mu: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    precision: Parameter = None,
    first_cut: Parameter = None,
    gap: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Proportions with zeros and ones that are the ends of one scale.

    $$P(y_i = 0) = 1 - \sigma(\mu_i + o_i - c_0), \qquad
    P(y_i = 1) = \sigma(\mu_i + o_i - c_1), \qquad
    \text{otherwise } y_i \sim \text{Beta}\big(m_i \phi,\ (1 - m_i) \phi\big)$$

    with $m_i = \sigma(\mu_i + o_i)$, $\sigma(x) = 1 / (1 + e^{-x})$, $c_0 \sim N(-2.5, 2.5)$,
    $c_1 - c_0 \sim \text{Exponential}(0.2)$, $1 / \sqrt\phi \sim \text{Exponential}(1)$: the
    prediction shifts the mean inside and the probabilities of both ends. Each of several
    outputs has separate parameters.

    Args:
        mu: Predictions of the log odds, (n,), (n, 1), or (n, u) for several outputs.
        y: Proportions from 0 to 1 of the same rows, or None to draw them.
        name: Name of the observed site.
        precision: Another prior of $\phi$; or its value, positive: one number, or one for each
            row, output or observation.
        first_cut: Another prior of $c_0$, or its value.
        gap: Another prior of $c_1 - c_0$, or its value, positive.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log odds.

    Sites:
        ``{name}.precision`` and ``{name}.first_cut`` of event shape (), or (u,) for several
        outputs; ``{name}.gaps`` of event shape (1,), or (u, 1); none of them where it is
        given; ``{name}``, observed.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an observation
            is not from 0 to 1, a parameter is out of range, or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(ordered_beta_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Kubinec (2022), "Ordered beta regression: a parsimonious, well-fitting model for
        continuous data with lower and upper bounds", Political Analysis 31, equation 4.
    """
    check_name(name)
    size = rows_and_outputs(mu)
    phi = parameter(name, "precision", precision, of_excess_noise(), size)
    first = dist.Normal(-2.5, 2.5) if first_cut is None else first_cut
    step: Any = dist.Exponential(0.2) if gap is None else gap
    if not isinstance(step, dist.Distribution):
        step = jnp.asarray(step)[..., None]
    cuts = cut_points(name, first, step, 3, size[1])

    def law(mu: Array, precision: Array) -> dist.Distribution:
        low, high = mu - cuts[..., 0], mu - cuts[..., 1]
        log_zero, log_one = -jax.nn.softplus(low), -jax.nn.softplus(-high)
        # sigmoid(low) - sigmoid(high), which both may be near one.
        gap = cuts[..., 1] - cuts[..., 0]
        log_inside = jax.nn.log1mexp(gap) - jax.nn.softplus(-low) - jax.nn.softplus(high)
        return BetaWithEnds(beta_of_log_odds(mu, precision), log_zero, log_one, log_inside)

    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, mu=mu, precision=phi)
