"""The continuous ranked probability score, in the unit of the predicted quantity."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import ndtr
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column
from ..distributions._cdf import central_student
from ..distributions._stirling import stirling_error
from ._rows import Levels, Score, as_rows, finite_reals, less, scored, stacked


def crps_draws(
    y: Num[ArrayLike, "*rows"] | Column,
    draws: Num[ArrayLike, "s *rows"] | Column,
    *,
    average: bool = True,
) -> Score | Float[Array, "*rows"]:
    r"""The continuous ranked probability score (CRPS) of draws.

    $$\frac{1}{S} \sum_s |x_s - y| - \frac{1}{2 S (S - 1)} \sum_{s, t} |x_s - x_t|$$

    This is the fair form: for any number of draws, its expectation is the score of the
    distribution that they come from (so the score of a row may be negative). For a point
    prediction it is the absolute error. It is in the unit of `y`. The draws are sorted, so that
    it takes $S \log S$ steps and no additional memory.

    Args:
        y: Observations.
        draws: Draws of the prediction, including noise; at least 2, along the first axis.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes do not match, there is no entry, or one is NaN, infinite
            or masked.

    Example:
        >>> import jax.numpy as jnp
        >>> crps_draws(jnp.array([1.0]), jnp.array([[0.0], [4.0]]), average=False)  # 2 - 4 / 2
        Array([0.], dtype=float32)

    References:
        Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and
        estimation", Journal of the American Statistical Association 102, equation 21; Ferro
        (2014), "Fair scores for ensemble forecasts", Quarterly Journal of the Royal
        Meteorological Society 140, section 3.
    """
    _, off = stacked(y, 2, draws=draws)
    return scored(_fair_crps(off), average)


@jax.jit
def _fair_crps(off: Float[Array, "s *rows"]) -> Float[Array, "*rows"]:
    s = off.shape[0]
    x = jnp.sort(off, axis=0)
    # The sum of |x_s - x_t| over pairs is a single sum over sorted draws; offsets cancel first.
    weight = (2.0 * jnp.arange(s) - (s - 1)) / (s * (s - 1.0))
    spread = jnp.tensordot(weight, x - x[s // 2], 1)
    return jnp.mean(jnp.abs(off), axis=0) - spread


def crps_normal(
    y: Num[ArrayLike, "*rows"] | Column,
    loc: Num[ArrayLike, "*rows"] | Column,
    scale: Num[ArrayLike, "*rows"] | Column,
    *,
    average: bool = True,
) -> Score | Float[Array, "*rows"]:
    r"""The continuous ranked probability score of normal predictions.

    $$\sigma \big( z (2 \Phi(z) - 1) + 2 \phi(z) - 1 / \sqrt \pi \big), \qquad
    z = (y - \mu) / \sigma$$

    Args:
        y: Observations.
        loc: Means $\mu$.
        scale: Standard deviations $\sigma$, positive.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes differ, there is no entry, one is NaN or infinite, or a
            scale is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> crps_normal(jnp.zeros(1), jnp.zeros(1), jnp.ones(1), average=False)
        Array([0.23369497], dtype=float32)

    References:
        Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and
        estimation", Journal of the American Statistical Association 102, section 4.2.
    """
    off, scale = _standard(y, loc, scale)
    z = off / scale
    return scored(scale * (_mean_distance(z) - 1 / math.sqrt(math.pi)), average)


def crps_student_t(
    y: Num[ArrayLike, "*rows"] | Column,
    df: Num[ArrayLike, "*rows"] | Column,
    loc: Num[ArrayLike, "*rows"] | Column,
    scale: Num[ArrayLike, "*rows"] | Column,
    *,
    average: bool = True,
) -> Score | Float[Array, "*rows"]:
    r"""The continuous ranked probability score of Student's t predictions.

    $$\sigma \Big( z (2 F_\nu(z) - 1) + 2 f_\nu(z) \frac{\nu + z^2}{\nu - 1}
    - \frac{2 \sqrt \nu}{\nu - 1} \frac{B(1/2, \nu - 1/2)}{B(1/2, \nu / 2)^2} \Big)$$

    Args:
        y: Observations.
        df: Degrees of freedom $\nu$, above 1; otherwise the score is infinite.
        loc: Centers $\mu$.
        scale: Scales $\sigma$, positive; the standard deviation is
            $\sigma \sqrt{\nu / (\nu - 2)}$.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes differ, there is no entry, one is NaN or infinite, a scale
            is not positive, or degrees of freedom are not above 1.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones(1)
        >>> round(float(crps_student_t(0 * one, 5 * one, 0 * one, one)), 4)
        0.257

    References:
        Jordan, Krüger, Lerch (2019), "Evaluating probabilistic forecasts with
        scoringRules", Journal of Statistical Software 90, appendix A.
    """
    off, scale, df = _standard(y, loc, scale, df=df)
    if not isinstance(df, jax.core.Tracer) and not bool((df > 1).all()):
        raise ValueError(
            f"`df` must be above 1, got {float(df.min()):g}: the mean, and with it the score, "
            "does not exist."
        )
    return scored(scale * _student(off / scale, df), average)


@jax.jit
def _student(z: Float[Array, "*rows"], df: Float[Array, "*rows"]) -> Float[Array, "*rows"]:
    square = jnp.square(z)
    # 2 F(|z|) - 1, without the cancellation near the center.
    within = central_student(square, df)
    half = _log_gamma_ratio(df / 2)
    log_density = half - 0.5 * jnp.log(df * math.pi) - (df + 1) / 2 * jnp.log1p(square / df)
    # B(1/2, v - 1/2) / B(1/2, v / 2)^2, whose parts overflow or underflow.
    beta = jnp.exp(2 * half - _log_gamma_ratio(df - 0.5)) / math.sqrt(math.pi)
    density = 2 * jnp.exp(log_density) * (df + square) / (df - 1)
    return jnp.abs(z) * within + density - 2 * jnp.sqrt(df) / (df - 1) * beta


def _log_gamma_ratio(x: Float[Array, "*rows"]) -> Float[Array, "*rows"]:
    r"""$\log \Gamma(x + 1/2) - \log \Gamma(x)$, accurate also for large `x`."""
    correction = stirling_error(x + 0.5) - stirling_error(x)
    return x * jnp.log1p(0.5 / x) + 0.5 * jnp.log(x) - 0.5 + correction


def crps_mixture_normal(
    y: Num[ArrayLike, "*rows"] | Column,
    loc: Num[ArrayLike, "k *rows"] | Column,
    scale: Num[ArrayLike, "k *rows"] | Column,
    weights: Levels | None = None,
    *,
    average: bool = True,
) -> Score | Float[Array, "*rows"]:
    r"""The continuous ranked probability score of mixtures of normals, such as ensembles.

    $$\sum_k w_k A(y - \mu_k, \sigma_k) - \frac12 \sum_{k, l} w_k w_l
    A\big(\mu_k - \mu_l, \sqrt{\sigma_k^2 + \sigma_l^2}\big)$$

    where $A(m, s) = m (2 \Phi(m / s) - 1) + 2 s \phi(m / s)$ is the mean of the absolute
    value of a normal. It takes $K^2$ steps, and memory for $K$ numbers for each row.

    Args:
        y: Observations.
        loc: Means $\mu$ of the components, along the first axis.
        scale: Their standard deviations $\sigma$, positive.
        weights: Their probabilities $w$, which sum to one; equal if None.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes do not match, there is no entry, one is NaN or infinite,
            a scale is not positive, or the weights are not probabilities.

    Example:
        >>> import jax.numpy as jnp
        >>> y, loc, scale = jnp.zeros(1), jnp.array([[-1.0], [1.0]]), jnp.ones((2, 1))
        >>> round(float(crps_mixture_normal(y, loc, scale)), 4)
        0.3594

    References:
        Grimit et al. (2006), "The continuous ranked probability score for circular
        variables and its application to mesoscale forecast ensemble verification",
        Quarterly Journal of the Royal Meteorological Society 132, equation 5.
    """
    _, off = stacked(y, loc=loc)
    _, scale_off = stacked(y, scale=scale)
    _checks.same_shape(loc=off, scale=scale_off)
    _checks.all_positive("scale", scale)
    size = off.shape[0]
    if weights is None:
        weights = jnp.full(size, 1.0 / size)
    else:
        weights = finite_reals("weights", weights)
        is_known = not isinstance(weights, jax.core.Tracer)
        if weights.shape != (size,) or (
            is_known and (bool((weights < 0).any()) or abs(float(weights.sum()) - 1) > 1e-3)
        ):
            raise ValueError(
                f"`weights` must be {size} probabilities that sum to one, one for each "
                f"component, got {weights}."
            )
    found = _mixture(off, jnp.asarray(scale, float), jnp.asarray(weights, float))
    return scored(found, average)


@jax.jit
def _mixture(
    off: Float[Array, "k *rows"],
    scale: Float[Array, "k *rows"],
    weights: Float[Array, " k"],
) -> Float[Array, "*rows"]:
    away = jnp.tensordot(weights, scale * _mean_distance(off / scale), 1)

    def add(total: Array, component: tuple[Array, Array, Array]) -> tuple[Array, None]:
        mean, std, weight = component
        both = jnp.sqrt(jnp.square(std) + jnp.square(scale))
        apart = both * _mean_distance((mean - off) / both)
        return total + weight * jnp.tensordot(weights, apart, 1), None

    spread, _ = lax.scan(add, jnp.zeros_like(away), (off, scale, weights))
    return away - 0.5 * spread


def _mean_distance(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """The mean of |z - e| for a standard normal e."""
    density = jnp.exp(-0.5 * jnp.square(z)) / math.sqrt(2 * math.pi)
    return jnp.abs(z) * (1 - 2 * ndtr(-jnp.abs(z))) + 2 * density


def _standard(y: Any, loc: Any, scale: Any, **more: Any) -> list:
    """Check the arguments; return `y - loc`, `scale` and any others."""
    _, _, scales, *others = as_rows(y=y, loc=loc, scale=scale, **more)
    for name, values in {"y": y, "loc": loc, **more}.items():
        _checks.no_nan(name, _checks.reals(name, values))
    _checks.all_positive("scale", scale)
    off = less(_checks.reals("loc", loc), _checks.reals("y", y))
    return [-off, scales, *others]
