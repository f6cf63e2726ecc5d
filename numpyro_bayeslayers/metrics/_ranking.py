"""Measures of whether uncertainty predicts errors."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Num

from .. import _checks
from .._typing import Column
from ._probabilities import rows_of_classes
from ._rows import Score, as_rows, finite_reals


def misclassification_auroc(
    y: Num[ArrayLike, " n"] | Column,
    probs: Num[ArrayLike, "..."] | Column,
    uncertainty: Num[ArrayLike, " n"] | Column | None = None,
) -> Score:
    r"""Area under the ROC curve for detecting misclassified rows by their uncertainty.

    This is the probability that a misclassified row has a larger uncertainty than a correctly
    classified one, where ties count one half. The best value is 1; chance level is 1/2.

    Args:
        y: Classes, as for `brier_score`.
        probs: Their probabilities, as for `brier_score`.
        uncertainty: Uncertainty of each row, in any unit (for example `entropy`); one minus the
            largest probability if None.

    Returns:
        The area, and its standard error by the method of DeLong.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: As `brier_score`, and if no row or every row is misclassified.

    Example:
        >>> import jax.numpy as jnp
        >>> probs = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
        >>> float(misclassification_auroc(jnp.zeros(3, int), probs))
        1.0

    References:
        Hendrycks and Gimpel (2017), "A baseline for detecting misclassified and
        out-of-distribution examples in neural networks", ICLR; DeLong, DeLong,
        Clarke-Pearson (1988), "Comparing the areas under two or more correlated receiver
        operating characteristic curves", Biometrics 44.
    """
    if uncertainty is not None:
        _checks.same_labels(y=y, uncertainty=uncertainty)
    y, probs = rows_of_classes(y, probs)
    if uncertainty is None:
        doubt = 1 - jnp.max(probs, axis=-1)
    else:
        doubt = jnp.asarray(finite_reals("uncertainty", uncertainty), float)
        _checks.same_shape(y=y, uncertainty=doubt)
    is_wrong = jnp.argmax(probs, axis=-1) != y
    if not isinstance(is_wrong, jax.core.Tracer):
        count = int(is_wrong.sum())
        if count in (0, len(is_wrong)):
            raise ValueError(
                "`y` must have both rows whose most probable class is right and rows where it is "
                f"wrong, got {count} wrong rows of {len(is_wrong)}."
            )
    return _auroc(doubt, is_wrong)


def out_of_distribution_auroc(
    uncertainty: Num[ArrayLike, " n"] | Column,
    uncertainty_other: Num[ArrayLike, " m"] | Column,
) -> Score:
    r"""Area under the ROC curve for detecting rows of another data set by their uncertainty.

    $P(u < u') + \frac12 P(u = u')$: the best value is 1; 1/2 means that the two data sets
    cannot be distinguished.

    Args:
        uncertainty: Uncertainty of each in-distribution row, in any unit.
        uncertainty_other: Uncertainty of each row of the other data set.

    Returns:
        The area, and its standard error by the method of DeLong.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If one of them has no entry, more than one axis, or an entry is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> float(out_of_distribution_auroc(jnp.array([0.1, 0.3]), jnp.array([0.2, 0.4])))
        0.75

    References:
        See `misclassification_auroc`.
    """
    named = {"uncertainty": uncertainty, "uncertainty_other": uncertainty_other}
    found = [finite_reals(name, values) for name, values in named.items()]
    for name, values in zip(named, found, strict=True):
        if values.ndim != 1:
            raise ValueError(f"`{name}` must have one axis, got shape {values.shape}.")
    low, high = (jnp.asarray(values, float) for values in found)
    return _auroc(
        jnp.concatenate([low, high]), jnp.arange(low.size + high.size) >= low.size
    )


@jax.jit
def _auroc(value: Float[Array, " n"], is_high: Bool[Array, " n"]) -> Score:
    """Probability that a high row has the larger value, with DeLong's standard error."""
    order = jnp.argsort(value)
    at = [jnp.searchsorted(value[order], value, side=side) for side in ("left", "right")]

    def part(own: Array, other: Array) -> tuple[Array, Array]:
        """Fraction of `other` rows below each of `own`, ties count half: mean and error."""
        below = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(other[order], dtype=int)])
        share = 0.5 * (below[at[0]] + below[at[1]]) / below[-1]
        count = jnp.sum(own)
        mean = jnp.sum(jnp.where(own, share, 0.0)) / count
        off = jnp.sum(jnp.where(own, jnp.square(share - mean), 0.0))
        return mean, off / (count - 1) / count

    (area, of_high), (_, of_low) = part(is_high, ~is_high), part(~is_high, is_high)
    return Score(area, jnp.sqrt(of_high + of_low))


def area_under_risk_coverage(
    loss: Num[ArrayLike, " n"] | Column, uncertainty: Num[ArrayLike, " n"] | Column
) -> Float[Array, ""]:
    r"""The mean loss of the k most certain rows, averaged over k.

    $$\frac1N \sum_{k=1}^N \frac1k \sum_{i=1}^k \ell_{(i)}$$

    where $\ell_{(i)}$ is the loss of the row with the $i$-th smallest uncertainty. Rows of
    equal uncertainty are assigned their mean loss, so that their order does not matter.

    Args:
        loss: The loss of each row: 0 and 1 for right and wrong, or any error.
        uncertainty: Uncertainty of each row, in any unit.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes differ, there is no entry, or one is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> float(area_under_risk_coverage(jnp.array([1.0, 0.0]), jnp.array([0.9, 0.1])))
        0.25

    References:
        Geifman, Uziel, El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep
        neural classifiers", ICLR, equation 3.
    """
    loss, uncertainty = as_rows(loss=loss, uncertainty=uncertainty)
    return _risk_coverage(loss.ravel(), uncertainty.ravel())


@jax.jit
def _risk_coverage(loss: Any, uncertainty: Any) -> Float[Array, ""]:
    n = loss.size
    order = jnp.argsort(uncertainty)
    doubt, loss = uncertainty[order], loss[order]
    first = jnp.searchsorted(doubt, doubt)
    total = jax.ops.segment_sum(loss, first, n)
    count = jax.ops.segment_sum(jnp.ones(n, int), first, n)
    alike = total[first] / count[first]
    return jnp.mean(jnp.cumsum(alike) / jnp.arange(1, n + 1))
