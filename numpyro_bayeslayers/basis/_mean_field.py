"""Logits of probabilities averaged over normal logits."""

import math

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .. import _checks


def mean_field_logits(
    logits: Float[ArrayLike, "*batch k"],
    variance: Float[ArrayLike, "*batch _"],
    factor: float = math.pi / 8,
) -> Float[Array, "*batch k"]:
    r"""Logits that approximate the mean probabilities of uncertain logits.

    $$\tilde f = f / \sqrt{1 + \lambda v}$$

    For two classes and $\lambda = \pi / 8$, $\mathrm{sigmoid}(\tilde f)$ is within 0.02 of the
    mean of $\mathrm{sigmoid}(z)$ over $z \sim N(f, v)$. For several classes, the same rule is a
    heuristic without an error bound.

    Args:
        logits: Mean logits $f$.
        variance: Their variances $v$, zero or positive: one for each logit, or (n, 1).
        factor: $\lambda$, zero or positive.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(mean_field_logits(jnp.array([2.0]), jnp.array([4.0]))[0]), 3)
        1.247

    References:
        MacKay (1992), "The evidence framework applied to classification networks", Neural
        Computation 4, equation 8; Lu, Ie, Sha (2020), "Mean-field approximation to
        Gaussian-softmax integral with application to uncertainty estimation", equation 5.
    """
    factor = _checks.non_negative("factor", factor)
    return jnp.asarray(logits) / jnp.sqrt(1.0 + factor * jnp.asarray(variance))
