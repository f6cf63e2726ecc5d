"""Joint scores of several outputs or several rows."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column, Seed
from ._density import as_log_likelihood
from ._rows import Score, finite_reals, scored, stacked


def energy_score(
    y: Num[ArrayLike, "n d"] | Column,
    draws: Num[ArrayLike, "s n d"] | Column,
    *,
    average: bool = True,
) -> Score | Float[Array, " n"]:
    r"""The energy score: the continuous ranked probability score for several outputs.

    $$\frac1S \sum_s \lVert x_s - y \rVert
    - \frac{1}{2 S (S - 1)} \sum_{s, t} \lVert x_s - x_t \rVert$$

    in its fair form. For one output it equals `crps_draws`. Outputs should have the same unit,
    because the norm adds them. It takes $S^2$ steps and no memory beyond that of the draws.

    Args:
        y: Observations, (n, outputs).
        draws: Draws of the prediction, including noise; at least 2, along the first axis.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes do not match, there is no entry, or one is NaN, infinite
            or masked.

    Example:
        >>> import jax.numpy as jnp
        >>> y, draws = jnp.zeros((1, 2)), jnp.array([[[3.0, 4.0]], [[3.0, 4.0]]])
        >>> energy_score(y, draws, average=False)
        Array([5.], dtype=float32)

    References:
        Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and
        estimation", Journal of the American Statistical Association 102, equation 22.
    """
    _, off = _outputs(y, draws)
    return scored(_energy(off), average)


@jax.jit
def _energy(off: Float[Array, "s n d"]) -> Float[Array, " n"]:
    s = off.shape[0]

    def add(shift: Array, total: Array) -> Array:
        # Pair each draw with the one `shift` places on, cyclically: all pairs in s - 1 steps.
        other = jnp.roll(off, shift, axis=0)
        return total + jnp.mean(jnp.linalg.norm(off - other, axis=-1), axis=0)

    away = jnp.mean(jnp.linalg.norm(off, axis=-1), axis=0)
    return away - 0.5 * lax.fori_loop(1, s, add, jnp.zeros_like(away)) / (s - 1)


def variogram_score(
    y: Num[ArrayLike, "n d"] | Column,
    draws: Num[ArrayLike, "s n d"] | Column,
    *,
    order: float = 0.5,
    weights: Num[ArrayLike, "d d"] | Column | None = None,
    average: bool = True,
) -> Score | Float[Array, " n"]:
    r"""The variogram score, which measures errors in the dependence between outputs.

    $$\sum_{j, k} w_{jk} \Big( |y_j - y_k|^p - \frac1S \sum_s |x_{sj} - x_{sk}|^p \Big)^2$$

    It is sensitive to wrong correlations, to which the energy score is rather insensitive; it
    is invariant to a shift of all outputs.

    Args:
        y: Observations, (n, outputs).
        draws: Draws of the prediction, including noise, along the first axis.
        order: The exponent $p$, positive.
        weights: The weight $w$ of each pair of outputs, at least 0; one if None.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes do not match, there is no entry, one is NaN, infinite or
            masked, a weight is negative, or `order` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> y, draws = jnp.array([[0.0, 1.0]]), jnp.zeros((3, 1, 2))
        >>> variogram_score(y, draws, average=False)  # both pairs are off by 1
        Array([2.], dtype=float32)

    References:
        Scheuerer and Hamill (2015), "Variogram-based proper scoring rules for probabilistic
        forecasts of multivariate quantities", Monthly Weather Review 143, equation 12.
    """
    y, off = _outputs(y, draws, 1)
    order = _checks.positive("order", order)
    d = y.shape[-1]
    if weights is None:
        weights = jnp.ones((d, d))
    else:
        weights = finite_reals("weights", weights)
        if weights.shape != (d, d):
            raise ValueError(
                f"`weights` must have shape {(d, d)}, an entry for each pair of outputs, got "
                f"{weights.shape}."
            )
        if not isinstance(weights, jax.core.Tracer) and bool((weights < 0).any()):
            raise ValueError("`weights` must be zero or positive.")
    return scored(_variogram(y, off, order, jnp.asarray(weights, float)), average)


@jax.jit
def _variogram(
    y: Float[Array, "n d"],
    off: Float[Array, "s n d"],
    order: ArrayLike,
    weights: Float[Array, "d d"],
) -> Float[Array, " n"]:
    apart = lambda x: jnp.abs(x[..., :, None] - x[..., None, :]) ** order

    def add(total: Array, one: Array) -> tuple[Array, None]:
        return total + apart(one + y), None

    expected, _ = lax.scan(add, jnp.zeros((*y.shape, y.shape[-1])), off)
    return jnp.sum(weights * jnp.square(apart(y) - expected / len(off)), axis=(-2, -1))


def _outputs(y: Any, draws: Any, least: int = 2) -> tuple[Array, Array]:
    if np.ndim(y) != 2:
        raise ValueError(
            "`y` must have an axis of rows and one of outputs, got shape "
            f"{np.shape(y)}. For one output use `crps_draws`."
        )
    return stacked(y, least, draws=draws)


def dyadic_joint_log_score(
    log_likelihood: Float[ArrayLike, "s n"] | Column,
    *,
    seed: Seed = 0,
    num_dyads: int = 1000,
    size: int = 10,
    average: bool = True,
) -> Score | Float[Array, " num_dyads"]:
    r"""The joint log score of several rows, sampled from pairs of rows.

    $$-\log \frac1S \sum_s \prod_{t=1}^{\tau} p(y_{i_t} \mid x_{i_t}, \theta_s)$$

    where each $i_t$ is one of two rows with equal probability, and pairs of rows are drawn at
    random. Unlike scores of single rows, this score distinguishes noise from epistemic
    uncertainty: a model that can infer which of its draws is right predicts the repeated rows
    well.

    Args:
        log_likelihood: $\log p(y_i \mid \theta_s)$ in nats for n rows under each posterior
            draw, (s, n), as returned by `numpyro.infer.log_likelihood`.
        seed: A key or an integer, for the pairs and for how often each of the two rows occurs.
        num_dyads: The number of pairs, at least 1.
        size: The number of rows $\tau$ in a product, at least 1.
        average: Whether to give the mean and its standard error over pairs, not the score of
            each pair. The standard error reflects the sampling of pairs, given the rows.

    Raises:
        TypeError: If an entry is not a real number, or `seed` is not a key.
        ValueError: If there is no axis of draws, fewer than two rows, an entry is NaN, or a
            number of pairs or rows is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> sure = jnp.log(jnp.full((1, 4), 0.5))
        >>> round(float(dyadic_joint_log_score(sure, size=10)), 4)  # 10 log 2
        6.9315

    References:
        Osband et al. (2022), "Evaluating high-order predictive distributions in deep
        learning", Conference on Uncertainty in Artificial Intelligence, section 4 (dyadic
        sampling).
    """
    found = as_log_likelihood(log_likelihood)
    if found.ndim != 2 or found.shape[1] < 2:
        raise ValueError(
            "`log_likelihood` must have a row for each draw and at least two columns, got "
            f"shape {found.shape}."
        )
    key = _checks.random_key("seed", seed)
    count, size = _checks.size("num_dyads", num_dyads), _checks.size("size", size)
    return scored(_dyads(found, key, count, size), average)


@partial(jax.jit, static_argnames=("count", "size"))
def _dyads(
    log_likelihood: Float[Array, "s n"], key: Any, count: int, size: int
) -> Float[Array, " count"]:
    num_draws, n = log_likelihood.shape
    of_first, of_second, of_split = random.split(key, 3)
    first = random.randint(of_first, (count,), 0, n)
    second = (first + random.randint(of_second, (count,), 1, n)) % n
    times = random.bernoulli(of_split, 0.5, (count, size)).sum(-1)

    def joint(dyad: tuple[Array, Array, Array]) -> Array:
        i, j, k = dyad
        # Zero copies of an impossible row contribute nothing.
        taken = lambda row, m: jnp.where(m > 0, m * log_likelihood[:, row], 0.0)
        both = taken(i, k) + taken(j, size - k)
        return np.log(num_draws) - jax.nn.logsumexp(both)

    return lax.map(joint, (first, second, times), batch_size=64)
