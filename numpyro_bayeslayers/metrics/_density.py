"""Log scores of predictive densities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column
from ..distributions._cdf import log_prob_of
from ._rows import Score, check_known, check_some, finite_reals, scored


def log_score(
    y: Num[ArrayLike, "..."] | Column, distribution: Any, *, average: bool = True
) -> Score | Float[Array, "..."]:
    r"""$-\log p(y_i)$ in nats: the negative log predictive density.

    Its expectation is smallest if the prediction is the distribution of the observations, and
    it is infinite for observations that the prediction excludes. For densities it depends on
    the unit of `y`.

    Args:
        y: Observations.
        distribution: The prediction of each row, a distribution of NumPyro; for classes
            ``Categorical(probs)``, for members `distributions.EnsembleMixture`.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number, or `distribution` is not a distribution.
        ValueError: If the shapes do not match, there is no entry, one is NaN, or lies outside
            the support of `distribution`.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> log_score(jnp.zeros(2), dist.Normal(0.0, jnp.ones(2)), average=False)
        Array([0.9189385, 0.9189385], dtype=float32)

    References:
        Good (1952), "Rational decisions", Journal of the Royal Statistical Society B 14.
    """
    y = finite_reals("y", y)
    check_distribution("distribution", distribution, y)
    is_possible = distribution.support(jnp.asarray(y))
    if not isinstance(is_possible, jax.core.Tracer) and not np.all(is_possible):
        raise ValueError(
            f"`y` must lie in the support of `distribution`, {distribution.support}, got "
            f"{int(np.size(is_possible) - np.sum(is_possible))} rows outside of it."
        )
    return scored(-log_prob_of(distribution, jnp.asarray(y)), average)


def log_score_draws(
    log_likelihood: Float[ArrayLike, "s *rows"] | Column, *, average: bool = True
) -> Score | Float[Array, "*rows"]:
    r"""The log score of a mixture over draws, from the log density under each draw.

    $$-\log \frac{1}{S} \sum_s p(y_i \mid \theta_s)$$

    Args:
        log_likelihood: $\log p(y_i \mid \theta_s)$ in nats, (s, *rows), as returned by
            `numpyro.infer.log_likelihood`; minus infinity where a row is impossible under a
            draw.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If there is no axis of draws, no entry, or one is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> log_score_draws(jnp.log(jnp.array([[0.2], [0.4]])), average=False)  # -log 0.3
        Array([1.2039728], dtype=float32)
    """
    return scored(-_log_mean(as_log_likelihood(log_likelihood)), average)


def as_log_likelihood(values: Any) -> Array:
    """Log densities of rows by draws, (s, *rows)."""
    found = _checks.reals("log_likelihood", values)
    check_some("log_likelihood", found)
    check_known("log_likelihood", found)
    if np.ndim(found) < 2:
        raise ValueError(
            "`log_likelihood` must have an axis of draws and one of rows, got shape "
            f"{np.shape(found)}."
        )
    return jnp.asarray(found, float)


def _log_mean(log_likelihood: Float[Array, "s ..."]) -> Float[Array, "..."]:
    return jax.nn.logsumexp(log_likelihood, axis=0) - np.log(len(log_likelihood))


def check_distribution(name: str, distribution: Any, y: Any) -> None:
    """Check that `distribution` is one of NumPyro, with observations of the shape of `y`."""
    if not hasattr(distribution, "log_prob") or not hasattr(distribution, "batch_shape"):
        raise TypeError(
            f"`{name}` must be a distribution of NumPyro, got a {type(distribution).__name__}."
        )
    shape = tuple(distribution.batch_shape) + tuple(distribution.event_shape)
    if shape and shape != np.shape(y):
        raise ValueError(
            f"`{name}` must have the shape of `y`, {np.shape(y)}, got {shape}. Mix the members "
            "of an ensemble first (`distributions.EnsembleMixture`)."
        )
