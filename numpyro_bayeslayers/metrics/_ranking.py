"""Whether uncertainty is where the errors are."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from ._probabilities import rows_of_classes
from ._rows import Score, as_rows, finite_reals


def misclassification_auroc(
    y: Num[ArrayLike, " n"],
    probs: Num[ArrayLike, "..."],
    uncertainty: Num[ArrayLike, " n"] | None = None,
) -> Score:
    r"""The chance that a wrong row is held for less certain than a right one.

    The area under the receiver operating characteristic of the question whether the most
    probable class is wrong, answered by the uncertainty: 1 at best, 1/2 by chance. Equal
    uncertainties count half.

    Args:
        y: Classes, as for `brier_score`.
        probs: Their probabilities, as for `brier_score`.
        uncertainty: How uncertain each row is, in any unit (`entropy`, say); one minus the
            largest probability if None.

    Returns:
        The area, and its standard error, DeLong's.

    Raises:
        TypeError: If an entry is no real number.
        ValueError: As `brier_score`, and if no row, or each, is wrong.

    Example:
        >>> import jax.numpy as jnp
        >>> probs = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
        >>> float(misclassification_auroc(jnp.zeros(3, int), probs))
        1.0

    References:
        Hendrycks and Gimpel (2017), A baseline for detecting misclassified and
        out-of-distribution examples in neural networks, ICLR; DeLong, DeLong and
        Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver
        operating characteristic curves, Biometrics 44.
    """
    y, probs = rows_of_classes(y, probs)
    if uncertainty is None:
        doubt = np.asarray(1 - jnp.max(probs, axis=-1))
    else:
        doubt = np.asarray(finite_reals("uncertainty", uncertainty))
        _checks.same_shape(y=y, uncertainty=doubt)
    is_wrong = np.asarray(jnp.argmax(probs, axis=-1) != y)
    if is_wrong.all() or not is_wrong.any():
        raise ValueError(
            "`y` must have rows whose most probable class is right, and rows where it is "
            f"wrong, got {int(is_wrong.sum())} wrong ones of {len(is_wrong)}."
        )
    return _auroc(jnp.asarray(doubt[~is_wrong], float), jnp.asarray(doubt[is_wrong], float))


def out_of_distribution_auroc(
    uncertainty: Num[ArrayLike, " n"], uncertainty_other: Num[ArrayLike, " m"]
) -> Score:
    r"""The chance that a row of another data set is held for less certain than one of this.

    $P(u < u') + \frac12 P(u = u')$: 1 at best, 1/2 if the two look alike.

    Args:
        uncertainty: How uncertain each row is, of the data that the model is for.
        uncertainty_other: The same of the other data.

    Returns:
        The area under the receiver operating characteristic, and its standard error,
        DeLong's.

    Raises:
        TypeError: If an entry is no real number.
        ValueError: If one of them has no entry, more than one axis, or an entry is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> float(out_of_distribution_auroc(jnp.array([0.1, 0.3]), jnp.array([0.2, 0.4])))
        0.75

    References:
        As for `misclassification_auroc`.
    """
    named = {"uncertainty": uncertainty, "uncertainty_other": uncertainty_other}
    found = [finite_reals(name, values) for name, values in named.items()]
    for name, values in zip(named, found, strict=True):
        if values.ndim != 1:
            raise ValueError(f"`{name}` must have one axis, got shape {values.shape}.")
    return _auroc(*(jnp.asarray(values, float) for values in found))


@jax.jit
def _auroc(low: Float[Array, " n"], high: Float[Array, " m"]) -> Score:
    """P(low < high), ties half, with DeLong's standard error."""

    def below(x: Array, among: Array) -> Array:
        both = [
            jnp.searchsorted(jnp.sort(among), x, side=side) for side in ("left", "right")
        ]
        return 0.5 * (both[0] / among.size + both[1] / among.size)

    of_high, of_low = below(high, low), 1 - below(low, high)
    variance = sum(jnp.var(x, ddof=1) / x.size for x in (of_high, of_low))
    return Score(jnp.mean(of_high), jnp.sqrt(variance))


def area_under_risk_coverage(
    loss: Num[ArrayLike, " n"], uncertainty: Num[ArrayLike, " n"]
) -> Float[Array, ""]:
    r"""The mean loss of the rows that are kept, averaged over how many are kept.

    $$\frac1N \sum_{k=1}^N \frac1k \sum_{i=1}^k \ell_{(i)}$$

    where $\ell_{(i)}$ is the loss of the row with the $i$-th smallest uncertainty. Rows of
    one uncertainty have their mean loss: their order does not count.

    Args:
        loss: The loss of each row: 0 and 1 for right and wrong, or any error.
        uncertainty: How uncertain each row is, in any unit.

    Raises:
        TypeError: If an entry is no real number.
        ValueError: If the shapes differ, there is no entry, or one is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> float(area_under_risk_coverage(jnp.array([1.0, 0.0]), jnp.array([0.9, 0.1])))
        0.25

    References:
        Geifman, Uziel and El-Yaniv (2019), Bias-reduced uncertainty estimation for deep
        neural classifiers, ICLR, equation 3.
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
