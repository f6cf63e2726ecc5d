"""Scores and calibration of predicted class probabilities."""

from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Num

from .. import _checks
from .._typing import Column
from ._probabilities import rows_of_classes
from ._rows import Score, scored

Binning: TypeAlias = Literal["width", "adaptive"]
# Block size of partial sums, so that sums over very many rows remain accurate.
_PART = 64


class Reliability(NamedTuple):
    """Predicted and observed frequencies in bins of confidence.

    Args:
        confidence: The mean probability of the predicted class in each bin; NaN for empty bins.
        accuracy: The fraction of rows in each bin where that class was correct; NaN for empty bins.
        count: The number of rows in each bin.
    """

    confidence: Float[Array, " b"]
    accuracy: Float[Array, " b"]
    count: Int[Array, " b"]


class BrierDecomposition(NamedTuple):
    r"""The parts of the Brier score: reliability - resolution + uncertainty + within_bins.

    Args:
        reliability: Squared distance of predicted probabilities from observed frequencies; 0 is
            best.
        resolution: Squared distance of these frequencies from the overall ones; larger is better.
        uncertainty: The score of the overall frequencies, which depends only on the data.
        within_bins: Contribution of predictions that differ within a bin; 0 if there are none.
    """

    reliability: Float[Array, ""]
    resolution: Float[Array, ""]
    uncertainty: Float[Array, ""]
    within_bins: Float[Array, ""]


def brier_score(
    y: Num[ArrayLike, " n"] | Column,
    probs: Num[ArrayLike, "..."] | Column,
    *,
    average: bool = True,
) -> Score | Float[Array, " n"]:
    r"""The Brier score of class probabilities, $\sum_k (p_{ik} - 1[y_i = k])^2$.

    It ranges from 0 to 2. For a single column, the probability of class 1 of two, it is
    $(p_i - y_i)^2$, half of that.

    Args:
        y: Classes: whole numbers from zero in the order of the columns, or truth values.
        probs: Probabilities (n, classes) that sum to one; or (n,), of class 1 of two.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes do not match, there is no entry, one is NaN, `y` holds no
            class, or probabilities do not sum to one.

    Example:
        >>> import jax.numpy as jnp
        >>> brier_score(jnp.array([1]), jnp.array([[0.5, 0.5]]), average=False)
        Array([0.5], dtype=float32)

    References:
        Brier (1950), "Verification of forecasts expressed in terms of probability", Monthly
        Weather Review 78.
    """
    is_one_column = np.ndim(probs) == 1
    y, probs = rows_of_classes(y, probs)
    error = jnp.square(probs - jax.nn.one_hot(y, probs.shape[1], dtype=probs.dtype)).sum(-1)
    return scored(error / 2 if is_one_column else error, average)


def brier_decomposition(
    y: Num[ArrayLike, " n"] | Column,
    probs: Num[ArrayLike, "..."] | Column,
    *,
    num_bins: int = 10,
    binning: Binning = "width",
) -> BrierDecomposition:
    r"""The parts of the mean `brier_score`: reliability, resolution and uncertainty.

    $$\sum_b \frac{n_b}{N} (\bar p_b - \bar y_b)^2 - \sum_b \frac{n_b}{N} (\bar y_b - \bar y)^2
    + \bar y (1 - \bar y) + \text{within}$$

    over bins of the probability of each class, summed over classes. `within_bins`, the variance
    of predictions within bins minus twice their covariance with the outcome, makes the sum
    exact.

    Args:
        y: Classes, as for `brier_score`.
        probs: Their probabilities, as for `brier_score`.
        num_bins: The number of bins, at least 1.
        binning: ``"width"`` for bins of equal width, ``"adaptive"`` for bins with about the
            same number of rows.

    Raises:
        TypeError: As `brier_score`.
        ValueError: As `brier_score`, and if `binning` is unknown, or `num_bins` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> parts = brier_decomposition(jnp.array([0, 1]), jnp.array([0.5, 0.5]))
        >>> float(parts.reliability), float(parts.resolution), float(parts.uncertainty)
        (0.0, 0.0, 0.25)

    References:
        Murphy (1973), "A new vector partition of the probability score", Journal of Applied
        Meteorology 12; Stephenson, Coelho, Jolliffe (2008), "Two extra components in the
        Brier score decomposition", Weather and Forecasting 23.
    """
    is_one_column = np.ndim(probs) == 1
    y, probs = rows_of_classes(y, probs)
    num_bins = _check_bins(num_bins, binning)
    hits = jax.nn.one_hot(y, probs.shape[1], dtype=probs.dtype)
    parts = _brier_parts(probs.T, hits.T, num_bins, binning == "adaptive")
    factor = 0.5 if is_one_column else 1.0
    return BrierDecomposition(*(factor * jnp.sum(part) for part in parts))


@partial(jax.jit, static_argnames=("num_bins", "is_adaptive"))
@partial(jax.vmap, in_axes=(0, 0, None, None))
def _brier_parts(p: Array, hit: Array, num_bins: int, is_adaptive: bool) -> Any:
    n = p.shape[0]
    which = _bins(p, num_bins, is_adaptive)
    count = jax.ops.segment_sum(jnp.ones(n, int), which, num_bins)
    some = jnp.maximum(count, 1)
    share = count / n
    mean, found = (_sums(v, which, num_bins) / some for v in (p, hit))
    base = jnp.mean(hit)
    dp, dy = p - mean[which], hit - found[which]
    return (
        jnp.sum(share * jnp.square(mean - found)),
        jnp.sum(share * jnp.square(found - base)),
        base * (1 - base),
        jnp.mean(jnp.square(dp) - 2 * dp * dy),
    )


def reliability(
    y: Num[ArrayLike, " n"] | Column,
    probs: Num[ArrayLike, "..."] | Column,
    *,
    num_bins: int = 15,
    binning: Binning = "width",
) -> Reliability:
    """Accuracy of the predicted class as a function of the confidence in it.

    Rows are binned by the probability of their most probable class.

    Args:
        y: Classes, as for `brier_score`.
        probs: Their probabilities, as for `brier_score`.
        num_bins: The number of bins, at least 1.
        binning: ``"width"`` for bins of equal width from 0 to 1, each with its upper bound;
            ``"adaptive"`` for bins with about the same number of rows (rows of equal confidence
            are kept together).

    Returns:
        The mean confidence, the accuracy and the number of rows of each bin.

    Raises:
        TypeError: As `brier_score`.
        ValueError: As `brier_score`, and if `binning` is unknown, or `num_bins` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> bins = reliability(jnp.array([1, 0]), jnp.array([[0.1, 0.9], [0.2, 0.8]]), num_bins=2)
        >>> bins.count, bins.accuracy
        (Array([0, 2], dtype=int32), Array([nan, 0.5], dtype=float32))

    References:
        Niculescu-Mizil and Caruana (2005), "Predicting good probabilities with supervised
        learning", ICML.
    """
    y, probs = rows_of_classes(y, probs)
    num_bins = _check_bins(num_bins, binning)
    is_right = (jnp.argmax(probs, axis=-1) == y).astype(probs.dtype)
    return _reliability(jnp.max(probs, axis=-1), is_right, num_bins, binning == "adaptive")


@partial(jax.jit, static_argnames=("num_bins", "is_adaptive"))
def _reliability(
    confidence: Float[Array, " n"],
    is_right: Float[Array, " n"],
    num_bins: int,
    is_adaptive: bool,
) -> Reliability:
    which = _bins(confidence, num_bins, is_adaptive)
    count = jax.ops.segment_sum(jnp.ones(which.shape, int), which, num_bins)
    means = (_sums(v, which, num_bins) / count for v in (confidence, is_right))
    return Reliability(*means, count)


def expected_calibration_error(
    y: Num[ArrayLike, " n"] | Column,
    probs: Num[ArrayLike, "..."] | Column,
    *,
    num_bins: int = 15,
    binning: Binning = "width",
) -> Float[Array, ""]:
    r"""The average distance between the confidence in predicted classes and their accuracy.

    $$\sum_b \frac{n_b}{N} |\text{accuracy}_b - \text{confidence}_b|$$

    over the bins of `reliability`. It is not a proper score: the same prediction in every row
    can have a value of zero. With few rows in the bins it is biased upward.

    Args:
        y: Classes, as for `brier_score`.
        probs: Their probabilities, as for `brier_score`.
        num_bins: The number of bins, at least 1.
        binning: ``"width"`` or ``"adaptive"``, see `reliability`.

    Raises:
        TypeError: As `brier_score`.
        ValueError: As `brier_score`, and if `binning` is unknown, or `num_bins` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> probs = jnp.array([[0.1, 0.9], [0.2, 0.8]])
        >>> round(float(expected_calibration_error(jnp.array([1, 0]), probs, num_bins=2)), 4)
        0.35

    References:
        Guo et al. (2017), "On calibration of modern neural networks", ICML, equation 3;
        Nixon et al. (2019), "Measuring calibration in deep learning", CVPR workshops, for
        adaptive bins.
    """
    bins = reliability(y, probs, num_bins=num_bins, binning=binning)
    gap = jnp.where(bins.count > 0, jnp.abs(bins.accuracy - bins.confidence), 0.0)
    return jnp.sum(bins.count / jnp.sum(bins.count) * gap)


def maximum_calibration_error(
    y: Num[ArrayLike, " n"] | Column,
    probs: Num[ArrayLike, "..."] | Column,
    *,
    num_bins: int = 15,
    binning: Binning = "width",
) -> Float[Array, ""]:
    r"""The distance between confidence and accuracy of predicted classes, in the worst bin.

    $\max_b |\text{accuracy}_b - \text{confidence}_b|$ over the non-empty bins of `reliability`.
    The worst bin may contain a single row; ``"adaptive"`` bins avoid this.

    Args:
        y: Classes, as for `brier_score`.
        probs: Their probabilities, as for `brier_score`.
        num_bins: The number of bins, at least 1.
        binning: ``"width"`` or ``"adaptive"``, see `reliability`.

    Raises:
        TypeError: As `brier_score`.
        ValueError: As `brier_score`, and if `binning` is unknown, or `num_bins` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> probs = jnp.array([[0.1, 0.9], [0.6, 0.4]])
        >>> round(float(maximum_calibration_error(jnp.array([1, 1]), probs)), 4)
        0.6

    References:
        Guo et al. (2017), "On calibration of modern neural networks", ICML, equation 5.
    """
    bins = reliability(y, probs, num_bins=num_bins, binning=binning)
    return jnp.max(jnp.where(bins.count > 0, jnp.abs(bins.accuracy - bins.confidence), 0.0))


def _check_bins(num_bins: Any, binning: Any) -> int:
    _checks.one_of("binning", binning, ("width", "adaptive"))
    return _checks.size("num_bins", num_bins)


def _bins(p: Float[Array, " n"], num_bins: int, is_adaptive: bool) -> Int[Array, " n"]:
    """The bin of each row."""
    if not is_adaptive:
        # Compare with the bounds instead of inverting them: 0.3 belongs below the bound 0.3.
        return jnp.searchsorted(jnp.asarray(np.arange(1, num_bins) / num_bins, p.dtype), p)
    n = p.shape[0]
    place = jnp.searchsorted(jnp.sort(p), p)  # that of the first among equal values
    starts = jnp.asarray([-(-n * b // num_bins) for b in range(1, num_bins)], int)
    return jnp.searchsorted(starts, place, side="right")


def _sums(values: Float[Array, " n"], which: Int[Array, " n"], num_bins: int) -> Array:
    """The sum of `values` in each bin, summed in blocks of rows for accuracy."""
    num_parts = -(-values.shape[0] // _PART)
    part = jnp.arange(values.shape[0]) // _PART
    found = jax.ops.segment_sum(values, part * num_bins + which, num_parts * num_bins)
    found = found.reshape(num_parts, num_bins)
    while len(found) > 1:
        room = -len(found) % _PART
        found = jnp.pad(found, ((0, room), (0, 0))).reshape(-1, _PART, num_bins).sum(1)
    return found[0]
