"""Predictive uncertainty and its decomposition into aleatoric and epistemic parts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column
from ._probabilities import as_probabilities
from ._rows import finite_reals


class Uncertainty(NamedTuple):
    """The parts of the uncertainty of each row: total = aleatoric + epistemic.

    Args:
        total: Uncertainty of the predictive mixture of draws.
        aleatoric: The mean uncertainty of the draws: noise.
        epistemic: The disagreement between draws, which more data would reduce.
    """

    total: Float[Array, "*rows"]
    aleatoric: Float[Array, "*rows"]
    epistemic: Float[Array, "*rows"]


def entropy(probs: Num[ArrayLike, "n k"] | Column) -> Float[Array, " n"]:
    r"""The entropy of each row's class probabilities, $-\sum_k p_k \log p_k$, in nats.

    It ranges from 0 (certain) to $\log K$.

    Args:
        probs: Probabilities of classes, which sum to one; for a posterior their mean over
            draws.

    Raises:
        TypeError: If an entry is not a number.
        ValueError: If there are not two axes, or probabilities do not sum to one.

    Example:
        >>> import jax.numpy as jnp
        >>> entropy(jnp.array([[1.0, 0.0], [0.5, 0.5]]))
        Array([0.       , 0.6931472], dtype=float32)

    References:
        Shannon (1948), "A mathematical theory of communication".
    """
    return entr(as_probabilities(probs)).sum(-1)


def entropy_split(probs: Num[ArrayLike, "s n k"] | Column) -> Uncertainty:
    r"""Decompose the entropy of the mixture of draws into aleatoric and epistemic parts.

    $$H\Big(\frac1S \sum_s p_s\Big) = \frac1S \sum_s H(p_s) + \frac1S \sum_s
    \text{KL}\Big(p_s \,\Big\|\, \frac1S \sum_t p_t\Big)$$

    The last term is the mutual information of class and draw. It is computed in this form, not
    as a difference, so that it is accurate for draws that nearly agree.

    Args:
        probs: Probabilities of classes by draws (s, n, classes), which sum to one.

    Returns:
        The parts of each row in nats.

    Raises:
        TypeError: If an entry is not a number.
        ValueError: If there are not three axes, or probabilities do not sum to one.

    Example:
        >>> import jax.numpy as jnp
        >>> parts = entropy_split(jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]]))  # both sure
        >>> float(parts.aleatoric[0]), round(float(parts.epistemic[0]), 4)
        (0.0, 0.6931)

    References:
        Depeweg et al. (2018), "Decomposition of uncertainty in Bayesian deep learning for
        efficient and risk-sensitive learning", ICML, equation 8.
    """
    found = as_probabilities(probs, 3)
    mean = found.mean(0)
    ratio = jnp.where(mean > 0, found / jnp.where(mean > 0, mean, 1.0), 1.0)
    # p log(p / m) - p + m: the last terms sum to zero, and each class is nonnegative.
    known = mean * (ratio * jnp.log(jnp.where(ratio > 0, ratio, 1.0)) - (ratio - 1))
    aleatoric = entr(found).sum(-1).mean(0)
    return Uncertainty(entr(mean).sum(-1), aleatoric, known.sum(-1).mean(0))


def mutual_information(probs: Num[ArrayLike, "s n k"] | Column) -> Float[Array, " n"]:
    """Mutual information of class and posterior draw, in nats.

    This is the epistemic part of `entropy_split`: it is large where draws confidently predict
        different classes.

    Args:
        probs: Probabilities of classes by draws (s, n, classes), which sum to one.

    Raises:
        TypeError: As `entropy_split`.
        ValueError: As `entropy_split`.

    Example:
        >>> import jax.numpy as jnp
        >>> mutual_information(jnp.full((3, 1, 2), 0.5))
        Array([0.], dtype=float32)

    References:
        Houlsby et al. (2011), "Bayesian active learning for classification and preference
        learning", arXiv:1112.5745, equation 2.
    """
    return entropy_split(probs).epistemic


def variance_split(
    mean: Num[ArrayLike, "s *rows"] | Column, variance: Num[ArrayLike, "s *rows"] | Column
) -> Uncertainty:
    r"""Decompose the variance of the mixture of draws by the law of total variance.

    $$\text{var}\, y = \frac1S \sum_s \sigma_s^2 + \frac1S \sum_s (\mu_s - \bar\mu)^2$$

    Args:
        mean: The mean $\mu$ of each row under each draw, (s, *rows).
        variance: The variance $\sigma^2$ of each row under each draw, at least 0.

    Returns:
        The parts of each row, in the squared unit of `mean`.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes differ, there is no entry, one is NaN or infinite, or a
            variance is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> parts = variance_split(jnp.array([[0.0], [2.0]]), jnp.ones((2, 1)))
        >>> float(parts.total[0]), float(parts.aleatoric[0]), float(parts.epistemic[0])
        (2.0, 1.0, 1.0)

    References:
        Depeweg et al. (2018), "Decomposition of uncertainty in Bayesian deep learning for
        efficient and risk-sensitive learning", ICML, equation 10.
    """
    means, variances = finite_reals("mean", mean), finite_reals("variance", variance)
    _checks.same_shape(mean=means, variance=variances)
    if not np.ndim(means):
        raise ValueError("`mean` must have an axis of draws, got a single number.")
    if not isinstance(variances, jax.core.Tracer) and np.min(variances) < 0:
        raise ValueError(f"`variance` must be zero or positive, got {np.min(variances):g}.")
    means, variances = jnp.asarray(means, float), jnp.asarray(variances, float)
    aleatoric, epistemic = variances.mean(0), jnp.var(means, axis=0)
    return Uncertainty(aleatoric + epistemic, aleatoric, epistemic)
