"""Scores and coverage of prediction intervals."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column
from ._rows import as_rows


def interval_score(
    y: Num[ArrayLike, "*rows"] | Column,
    lower: Num[ArrayLike, "*rows"] | Column,
    upper: Num[ArrayLike, "*rows"] | Column,
    *,
    alpha: float = 0.05,
    average: bool = True,
) -> Float[Array, "..."]:
    r"""The mean width of intervals, with a penalty for each observation outside.

    $$\frac{1}{N} \sum_i \Big[ u_i - l_i
    + \frac{2}{\alpha} \max(l_i - y_i, 0) + \frac{2}{\alpha} \max(y_i - u_i, 0) \Big]$$

    It is in the unit of `y`, and smallest in expectation if the bounds are the quantiles at
    $\alpha / 2$ and $1 - \alpha / 2$: it rewards narrow intervals that cover.

    Args:
        y: Observations.
        lower: Lower bounds $l$.
        upper: Upper bounds $u$.
        alpha: One minus the probability of the interval, above 0 and below 1.
        average: Whether to return the mean, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes differ, there is no entry, one is masked or NaN, or `alpha`
            is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> y, lower, upper = jnp.array([1.0, 5.0]), jnp.zeros(2), jnp.array([2.0, 4.0])
        >>> float(interval_score(y, lower, upper, alpha=0.5))  # (2 + 4 + 4 * 1) / 2
        5.0

    References:
        Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and
        estimation", Journal of the American Statistical Association 102, equation 43.
    """
    alpha = _checks.share("alpha", alpha)
    y, lower, upper = as_rows(y=y, lower=lower, upper=upper)
    missed = jnp.maximum(lower - y, 0.0) + jnp.maximum(y - upper, 0.0)
    score = upper - lower + 2.0 / alpha * missed
    return jnp.mean(score) if _checks.switch("average", average) else score


def interval_coverage(
    y: Num[ArrayLike, "*rows"] | Column,
    lower: Num[ArrayLike, "*rows"] | Column,
    upper: Num[ArrayLike, "*rows"] | Column,
) -> Float[Array, ""]:
    r"""The fraction of observations within their intervals, bounds included.

    It is not a score: the target is the nominal probability of the intervals.

    Args:
        y: Observations.
        lower: Lower bounds.
        upper: Upper bounds.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes differ, there is no entry, or one is masked or NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> y, lower, upper = jnp.array([1.0, 5.0]), jnp.zeros(2), jnp.array([2.0, 4.0])
        >>> float(interval_coverage(y, lower, upper))
        0.5
    """
    y, lower, upper = as_rows(y=y, lower=lower, upper=upper)
    return jnp.mean((lower <= y) & (y <= upper))
