"""Scores of predicted quantiles and sets of intervals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column
from ._rows import Levels, Score, check_levels, scored, stacked


def pinball_loss(
    y: Num[ArrayLike, "*rows"] | Column,
    quantiles: Num[ArrayLike, "q *rows"] | Column,
    levels: Levels,
    *,
    average: bool = True,
) -> Score | Float[Array, "*rows"]:
    r"""The pinball loss of predicted quantiles, averaged over their levels.

    $$\frac1Q \sum_q \max\big( p_q (y - x_q),\ (p_q - 1)(y - x_q) \big)$$

    in the unit of `y`. Each term is smallest in expectation if $x_q$ is the quantile at $p_q$;
    the mean over evenly spaced levels converges to half the continuous ranked probability
    score.

    Args:
        y: Observations.
        quantiles: Predicted quantiles $x$, along the first axis; they may cross.
        levels: Their probabilities $p$, above 0 and below 1, from small to large.
        average: Whether to return the mean with its standard error, or else the loss of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes do not match, there is no entry, one is NaN or infinite,
            or a level is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> pinball_loss(jnp.ones(1), jnp.zeros((1, 1)), [0.9], average=False)
        Array([0.9], dtype=float32)

    References:
        Koenker and Bassett (1978), "Regression quantiles", Econometrica 46, equation 2.5.
    """
    p, under = as_quantiles(y, quantiles, levels)
    loss = jnp.maximum((p - 1) * -under, p * -under)
    return scored(jnp.mean(loss, axis=0), average)


def as_quantiles(y: Any, quantiles: Any, levels: Any) -> tuple[Array, Array]:
    """Levels, with an axis for each axis of `y`, and quantiles minus `y`."""
    p = check_levels("levels", levels)
    y, off = stacked(y, quantiles=quantiles)
    if len(off) != len(p):
        raise ValueError(
            f"`quantiles` must have one row for each of the {len(p)} `levels`, got {len(off)}."
        )
    return jnp.asarray(p, float).reshape(-1, *[1] * y.ndim), off


def weighted_interval_score(
    y: Num[ArrayLike, "*rows"] | Column,
    median: Num[ArrayLike, "*rows"] | Column,
    lower: Num[ArrayLike, "k *rows"] | Column,
    upper: Num[ArrayLike, "k *rows"] | Column,
    *,
    alphas: Levels,
    average: bool = True,
) -> Score | Float[Array, "*rows"]:
    r"""The weighted interval score of several intervals and the median.

    $$\frac{1}{K + 1/2} \Big( \tfrac12 |y - m| + \sum_k \frac{\alpha_k}{2}
    \text{IS}_{\alpha_k}(l_k, u_k, y) \Big)$$

    with the interval scores of `interval_score`. It is twice the `pinball_loss` of the
    $2 K + 1$ quantiles, and in the unit of `y`.

    Args:
        y: Observations.
        median: Predicted medians $m$.
        lower: Lower bounds of the intervals, along the first axis.
        upper: Their upper bounds.
        alphas: One minus the probability of each interval, above 0 and below 1.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes do not match, there is no entry, one is NaN or infinite,
            an entry of `alphas` is out of range, or a lower bound is above its upper bound.

    Example:
        >>> import jax.numpy as jnp
        >>> y, bound = jnp.zeros(1), jnp.ones((1, 1))
        >>> weighted_interval_score(y, y, -bound, bound, alphas=[0.5], average=False)
        Array([0.3333...], dtype=float32)

    References:
        Bracher et al. (2021), "Evaluating epidemic forecasts in an interval format", PLOS
        Computational Biology 17, equation 2.
    """
    alpha = np.asarray(_checks.numbers("alphas", alphas), float)
    if alpha.ndim != 1 or not alpha.size or np.any((alpha <= 0) | (alpha >= 1)):
        raise ValueError(
            f"`alphas` must be numbers above 0 and below 1, one for each interval, got {alphas!r}."
        )
    y, below = stacked(y, lower=lower)
    _, above = stacked(y, upper=upper)
    _, center = stacked(y, median=jnp.asarray(median)[None])
    _checks.same_shape(lower=below, upper=above)
    if len(below) != len(alpha):
        raise ValueError(
            f"`lower` must have one row for each of the {len(alpha)} `alphas`, got {len(below)}."
        )
    is_crossed = below > above
    if not isinstance(is_crossed, jax.core.Tracer) and bool(is_crossed.any()):
        raise ValueError(
            f"`lower` must be at most `upper`, got {int(is_crossed.sum())} bounds above it."
        )
    half = jnp.asarray(alpha / 2, float).reshape(-1, *[1] * y.ndim)
    missed = jnp.maximum(below, 0.0) + jnp.maximum(-above, 0.0)
    total = 0.5 * jnp.abs(center[0]) + jnp.sum(half * (above - below) + missed, axis=0)
    return scored(total / (len(alpha) + 0.5), average)
