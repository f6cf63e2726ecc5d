"""Comparison of two forecasts."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.special import betainc
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column, Seed
from ._rows import as_rows


class Comparison(NamedTuple):
    """The difference between the scores of two forecasts, with a test.

    Args:
        difference: Mean score of the first forecast minus that of the second: negative if the
            first is better.
        standard_error: Standard error of this mean.
        statistic: Their ratio, corrected for few rows.
        p_value: Two-sided p-value of the hypothesis that both forecasts are equally good.
    """

    difference: Float[Array, ""]
    standard_error: Float[Array, ""]
    statistic: Float[Array, ""]
    p_value: Float[Array, ""]


class BootstrapComparison(NamedTuple):
    """The difference between the scores of two forecasts, with an interval.

    Args:
        difference: Mean score of the first forecast minus that of the second: negative if the
            first is better.
        lower: The lower end of the interval.
        upper: Its upper end.
        share_better: The fraction of resamples in which the first forecast is better.
    """

    difference: Float[Array, ""]
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    share_better: Float[Array, ""]


def diebold_mariano(
    scores: Num[ArrayLike, " n"] | Column,
    scores_other: Num[ArrayLike, " n"] | Column,
    *,
    horizon: int = 1,
) -> Comparison:
    r"""The Diebold-Mariano test that two forecasts of the same rows are equally good.

    $$\frac{\bar d}{\sqrt{V / N}} \sqrt{1 + \frac{1 - 2 h + h (h - 1) / N}{N}} \sim t_{N - 1},
    \qquad V = \gamma_0 + 2 \sum_{k=1}^{h-1} \gamma_k$$

    where $d$ are the differences of scores in time order, and $\gamma$ their autocovariances,
    because the errors of forecasts $h$ steps ahead overlap. With $h = 1$, for one-step
    forecasts or rows that are not a series, it is the paired t test.

    Args:
        scores: The score of each row under one forecast (`average=False`).
        scores_other: The score of each row under the other.
        horizon: Number of steps ahead $h$ of the forecasts, at least 1 and below the number of
            rows.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes differ, there are fewer than two rows, an entry is NaN or
            infinite, `horizon` is out of range, or the differences have no variance.

    Example:
        >>> import jax.numpy as jnp
        >>> found = diebold_mariano(jnp.array([1.0, 2.0, 4.0]), jnp.array([0.0, 2.0, 2.0]))
        >>> float(found.difference), round(float(found.p_value), 3)
        (1.0, 0.225)

    References:
        Diebold and Mariano (1995), "Comparing predictive accuracy", Journal of Business and
        Economic Statistics 13, equation 4; Harvey, Leybourne, Newbold (1997), "Testing the
        equality of prediction mean squared errors", International Journal of Forecasting
        13, for few rows.
    """
    d = _differences(scores, scores_other)
    n, h = d.size, _checks.size("horizon", horizon)
    if h >= n:
        raise ValueError(f"`horizon` must be below the number of rows, {n}, got {h}.")
    around = d - d.mean()
    variance = jnp.mean(around**2) + 2 * sum(
        jnp.sum(around[k:] * around[:-k]) / n for k in range(1, h)
    )
    if not isinstance(variance, jax.core.Tracer) and not float(variance) > 0:
        raise ValueError(
            "`scores` and `scores_other` must differ by more than a constant"
            + (f", also over {h} steps: give a smaller `horizon`." if h > 1 else ".")
        )
    # The corrected variance of the mean; with one step, the sample variance over n.
    error = jnp.sqrt(variance / (n + 1 - 2 * h + h * (h - 1) / n))
    statistic = d.mean() / error
    df = jnp.asarray(n - 1.0)
    p_value = betainc(df / 2, jnp.asarray(0.5), df / (df + statistic**2))
    return Comparison(d.mean(), error, statistic, p_value)


def paired_bootstrap(
    scores: Num[ArrayLike, " n"] | Column,
    scores_other: Num[ArrayLike, " n"] | Column,
    *,
    seed: Seed = 0,
    num_draws: int = 2000,
    coverage: float = 0.95,
    block_length: int = 1,
) -> BootstrapComparison:
    """Bootstrap interval of the difference between the scores of two forecasts.

    Rows are drawn with replacement, both scores of a row together. For series, use circular
    blocks, which preserve dependence over lags shorter than a block.

    Args:
        scores: The score of each row under one forecast (`average=False`).
        scores_other: The score of each row under the other.
        seed: A key or an integer.
        num_draws: The number of resamples, at least 1.
        coverage: The probability of the interval, above 0 and below 1.
        block_length: Number of rows in a block, from 1 to the number of rows.

    Raises:
        TypeError: If an entry is not a real number, or `seed` is not a key.
        ValueError: If the shapes differ, there are fewer than two rows, an entry is NaN or
            infinite, or a setting is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> found = paired_bootstrap(jnp.arange(9.0), jnp.arange(9.0) + 1)
        >>> float(found.lower), float(found.upper), float(found.share_better)
        (-1.0, -1.0, 1.0)

    References:
        Efron and Tibshirani (1993), "An introduction to the bootstrap", section 13.3;
        Politis and Romano (1992), "A circular block-resampling procedure for stationary
        data".
    """
    d = _differences(scores, scores_other)
    key, num_draws = _checks.random_key("seed", seed), _checks.size("num_draws", num_draws)
    coverage, length = (
        _checks.share("coverage", coverage),
        _checks.size("block_length", block_length),
    )
    if length > d.size:
        raise ValueError(
            f"`block_length` must be at most the number of rows, {d.size}, got {length}."
        )
    means = _resampled(d, key, num_draws, length)
    tail = (1 - coverage) / 2
    lower, upper = jnp.quantile(means, jnp.asarray([tail, 1 - tail]))
    return BootstrapComparison(d.mean(), lower, upper, jnp.mean(means < 0))


@partial(jax.jit, static_argnames=("num_draws", "length"))
def _resampled(
    d: Float[Array, " n"], key: Any, num_draws: int, length: int
) -> Float[Array, " num_draws"]:
    n = d.size
    num_blocks = -(-n // length)

    def one(key: Any) -> Array:
        starts = random.randint(key, (num_blocks, 1), 0, n)
        rows = (starts + jnp.arange(length)).ravel()[:n] % n
        return jnp.mean(d[rows])

    return lax.map(one, random.split(key, num_draws))


def _differences(scores: Any, scores_other: Any) -> Float[Array, " n"]:
    first, second = as_rows(scores=scores, scores_other=scores_other)
    for name, values in {"scores": first, "scores_other": second}.items():
        _checks.no_nan(name, values)
    if first.ndim != 1 or first.size < 2:
        raise ValueError(
            "`scores` must have one axis with at least two rows, got shape "
            f"{np.shape(scores)}. Give the score of each row (`average=False`)."
        )
    return first - second
