"""Probability integral transform and coverage of intervals."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column, Seed
from ..distributions._cdf import cdf_of
from ._density import check_distribution
from ._rows import Levels, check_levels, finite_reals, stacked

#: Default probabilities of intervals and quantiles.
LEVELS = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())


class Coverage(NamedTuple):
    r"""Observed coverage of central intervals as a function of their probability.

    Args:
        levels: The nominal probabilities of the intervals.
        coverage: The fraction of rows inside each.
        standard_error: Standard error of this fraction if the intervals are calibrated:
            $\sqrt{p (1 - p) / N}$.
    """

    levels: Float[Array, " q"]
    coverage: Float[Array, " q"]
    standard_error: Float[Array, " q"]


def pit(
    y: Num[ArrayLike, "*rows"] | Column, prediction: Any, *, seed: Seed | None = None
) -> Float[Array, "*rows"]:
    r"""The probability integral transform (PIT) of observations under their predictions.

    $$u_i = F_i(y_i), \qquad \text{for counts} \quad
    u_i = F_i(y_i - 1) + v_i \big( F_i(y_i) - F_i(y_i - 1) \big), \quad v_i \sim U(0, 1)$$

    If observations follow their predictive distributions, $u$ is uniform. A hump-shaped
    histogram means that predictions are too wide, a U shape that they are too narrow, and a
    slope that they are biased. For draws, $u$ is the normalized rank of `y` among them,
    $(r_i + v_i) / (S + 1)$, which is uniform for any number of draws.

    Args:
        y: Observations.
        prediction: Draws of the prediction, including noise, (s, *rows); or a
            distribution of NumPyro that has a `cdf`.
        seed: A key or an integer, for $v$. Required for counts, where many observations are
            equal; without it, $v$ is one half.

    Raises:
        TypeError: If an entry is not a real number, or `seed` is not a key.
        ValueError: If the shapes do not match, there is no entry, one is NaN or infinite,
            or counts are predicted and `seed` is missing.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> pit(jnp.zeros(2), dist.Normal(jnp.zeros(2), 1.0))
        Array([0.5, 0.5], dtype=float32)
        >>> pit(jnp.array([1.5]), jnp.array([[0.0], [1.0], [2.0]]) + 0.1)  # 2.5 of 4
        Array([0.625], dtype=float32)

    References:
        Dawid (1984), "Statistical theory: the prequential approach", Journal of the Royal
        Statistical Society A 147; Czado, Gneiting, Held (2009), "Predictive model
        assessment for count data", Biometrics 65, section 2.1.
    """
    key = None if seed is None else _checks.random_key("seed", seed)
    if not hasattr(prediction, "batch_shape"):
        return _among_draws(y, prediction, key)
    found = jnp.asarray(finite_reals("y", y))
    check_distribution("prediction", prediction, found)
    upper = cdf_of(prediction, found)
    if not prediction.is_discrete:
        return jnp.broadcast_to(upper, found.shape)
    key = _seeded(key)
    lower = jnp.where(found > 0, cdf_of(prediction, jnp.maximum(found - 1, 0)), 0.0)
    return lower + random.uniform(key, found.shape) * (upper - lower)


def _among_draws(y: Any, draws: Any, key: Any) -> Array:
    y, off = stacked(y, prediction=draws)
    equal = jnp.sum(off == 0, axis=0)
    # Ties are common for whole numbers, and rare otherwise.
    if key is None and not isinstance(off, jax.core.Tracer) and bool(equal.any()):
        whole = np.asarray(draws)
        if np.all(whole == np.floor(whole)):
            _seeded(key)
    v = 0.5 * jnp.ones_like(y) if key is None else random.uniform(key, y.shape)
    return (jnp.sum(off < 0, axis=0) + v * (equal + 1)) / (len(off) + 1)


def _seeded(key: Any) -> Any:
    if key is None:
        raise ValueError(
            "`seed` must be given for predictions of counts: many observations are equal, and are "
            "spread over the probability of their value at random."
        )
    return key


def coverage_by_level(
    y: Num[ArrayLike, "*rows"] | Column,
    prediction: Any,
    *,
    levels: Levels = LEVELS,
    seed: Seed | None = None,
) -> Coverage:
    r"""Observed coverage of central prediction intervals, by their probability.

    An observation is in the interval of probability $p$ if $|2 u - 1| \le p$, where $u$ is its
    `pit`. This avoids bias with few draws and with counts.

    Args:
        y: Observations.
        prediction: Draws, or a distribution, as for `pit`.
        levels: Probabilities above 0 and below 1, from small to large.
        seed: A key or an integer, needed for counts, see `pit`.

    Returns:
        The levels, the fraction of rows inside each interval, and its standard error if the
        predictions are calibrated.

    Raises:
        TypeError: As `pit`.
        ValueError: As `pit`, and if a level is out of range.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> y = jnp.array([0.1, -0.2, 1.0, -3.0])
        >>> coverage_by_level(y, dist.Normal(jnp.zeros(4), 1.0), levels=[0.5, 0.9]).coverage
        Array([0.5 , 0.75], dtype=float32)

    References:
        Gneiting, Balabdaoui, Raftery (2007), "Probabilistic forecasts, calibration and
        sharpness", Journal of the Royal Statistical Society B 69.
    """
    p = jnp.asarray(check_levels("levels", levels), float)
    off_center = jnp.sort(jnp.abs(2 * pit(y, prediction, seed=seed) - 1).ravel())
    inside = jnp.searchsorted(off_center, p, side="right") / off_center.size
    return Coverage(p, inside, jnp.sqrt(p * (1 - p) / off_center.size))


def expected_quantile_calibration_error(
    y: Num[ArrayLike, "*rows"] | Column,
    prediction: Any,
    *,
    levels: Levels = LEVELS,
    seed: Seed | None = None,
) -> Float[Array, ""]:
    r"""Mean absolute difference between quantile levels and the observed frequencies below.

    $$\frac1Q \sum_q |\hat p_q - p_q|, \qquad
    \hat p_q = \frac1N \sum_i 1[u_i \le p_q]$$

    where $u$ is the `pit`. It is not a proper score: predicting the marginal distribution of
    `y` in every row gives zero. For calibrated predictions, chance alone gives about
    $0.3 / \sqrt N$.

    Args:
        y: Observations.
        prediction: Draws, or a distribution, as for `pit`.
        levels: Probabilities above 0 and below 1, from small to large.
        seed: A key or an integer, needed for counts, see `pit`.

    Raises:
        TypeError: As `pit`.
        ValueError: As `pit`, and if a level is out of range.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> law = dist.Normal(jnp.zeros(2), 1.0)
        >>> error = expected_quantile_calibration_error(jnp.zeros(2), law, levels=[0.3, 0.6])
        >>> round(float(error), 2)  # (0.3 + 0.4) / 2
        0.35

    References:
        Kuleshov, Fenner, Ermon (2018), "Accurate uncertainties for deep learning using
        calibrated regression", ICML, section 3.5 (where squares are summed).
    """
    return jnp.mean(_quantile_errors(y, prediction, levels, seed))


def maximum_quantile_calibration_error(
    y: Num[ArrayLike, "*rows"] | Column,
    prediction: Any,
    *,
    levels: Levels = LEVELS,
    seed: Seed | None = None,
) -> Float[Array, ""]:
    r"""Largest absolute difference between quantile levels and the observed frequencies below.

    $\max_q |\hat p_q - p_q|$, see `expected_quantile_calibration_error`.

    Args:
        y: Observations.
        prediction: Draws, or a distribution, as for `pit`.
        levels: Probabilities above 0 and below 1, from small to large.
        seed: A key or an integer, needed for counts, see `pit`.

    Raises:
        TypeError: As `pit`.
        ValueError: As `pit`, and if a level is out of range.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> law = dist.Normal(jnp.zeros(2), 1.0)
        >>> error = maximum_quantile_calibration_error(jnp.zeros(2), law, levels=[0.3, 0.6])
        >>> round(float(error), 2)
        0.4
    """
    return jnp.max(_quantile_errors(y, prediction, levels, seed))


def _quantile_errors(y: Any, prediction: Any, levels: Any, seed: Any) -> Array:
    p = jnp.asarray(check_levels("levels", levels), float)
    u = jnp.sort(pit(y, prediction, seed=seed).ravel())
    return jnp.abs(jnp.searchsorted(u, p, side="right") / u.size - p)
