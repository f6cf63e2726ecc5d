"""The continuous ranked probability score of predictions of counts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column
from ..distributions._counts import LogNegativeBinomial
from ._rows import Score, as_rows, less, scored

# Number of nodes of the quadrature rule, and its range in the exponential tails: the remainder
# is below double precision.
_NODES = 256
_TAIL = 37.0


def crps_negative_binomial(
    y: Num[ArrayLike, "*rows"] | Column,
    mean: Num[ArrayLike, "*rows"] | Column,
    concentration: Num[ArrayLike, "*rows"] | Column,
    *,
    average: bool = True,
) -> Score | Float[Array, "*rows"]:
    r"""The continuous ranked probability score of negative binomial predictions of counts.

    $$E |X - y| - \tfrac12 E |X - X'|, \qquad X, X' \sim \text{NB}(\mu, \kappa), \quad
    \text{var} X = \mu + \mu^2 / \kappa$$

    The first part is $(y - \mu)(2 F(y) - 1) + 2 (\mu / \kappa)(\kappa + y)\, p(y)$: both terms
    are positive, so it is accurate for counts in the millions. The second is

    $$E |X - X'| = \frac1\pi \int_0^\infty \frac{1 - |\varphi|^2}{s^2}\, ds, \qquad
    |\varphi|^{2} = \Big(1 + 2 c \frac{s^2}{1 + s^2} \Big)^{-\kappa}, \quad
    c = 2 \mu (\kappa + \mu) / \kappa^2$$

    over the characteristic function $\varphi$ at $s = \tan(t / 2)$, by the trapezoidal rule in
    $\log s$, which converges exponentially.

    Args:
        y: Counts: whole numbers from zero.
        mean: Means $\mu$, positive.
        concentration: Concentration $\kappa$, positive; the limit of large values is the Poisson.
        average: Whether to return the mean with its standard error, or else the score of each row.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes differ, there is no entry, one is NaN or infinite, `y` is not
            a count, or a parameter is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> three = jnp.full(1, 3.0)
        >>> round(float(crps_negative_binomial(three, three, three)), 4)
        0.5664

    References:
        Wei and Held (2014), "Calibration tests for count data", Test 23, for the score;
        Trefethen and Weideman (2014), "The exponentially convergent trapezoidal rule", SIAM
        Review 56, section 5.
    """
    counts, means, size = as_rows(y=y, mean=mean, concentration=concentration)
    check_counts("y", y)
    _checks.all_positive("mean", mean)
    _checks.all_positive("concentration", concentration)
    excess = less(_checks.reals("y", y), _checks.reals("mean", mean))
    return scored(_negative_binomial(counts, means, size, excess), average)


@jax.jit
def _negative_binomial(
    y: Float[Array, "*rows"],
    mean: Float[Array, "*rows"],
    size: Float[Array, "*rows"],
    excess: Float[Array, "*rows"],
) -> Float[Array, "*rows"]:
    law = LogNegativeBinomial(jnp.log(mean), size, validate_args=False)
    beyond = 2 * (mean / size) * (size + y) * jnp.exp(law.log_prob(y))
    away = excess * (2 * law.cdf(y) - 1) + beyond
    # 2 c, arranged to avoid overflow of products of large numbers.
    log_c = jnp.log(4.0) + jnp.log(mean) + jnp.log(size + mean) - 2 * jnp.log(size)
    start = -0.5 * jnp.maximum(log_c, 0.0) - 0.5 * jnp.log1p(size) - _TAIL
    step = (_TAIL - start) / _NODES

    def add(i: Array, total: Array) -> Array:
        v = start + i * step
        share = jax.nn.log_sigmoid(2 * v)
        return total - jnp.expm1(-size * jax.nn.softplus(log_c + share)) * jnp.exp(-v)

    spread = lax.fori_loop(0, _NODES + 1, add, jnp.zeros_like(start)) * step / np.pi
    return away - 0.5 * spread


def check_counts(name: str, values: Any) -> None:
    """Check that every entry of `values` is a whole number from zero."""
    found = _checks.reals(name, values)
    if isinstance(found, jax.core.Tracer):
        return
    _checks.no_nan(name, found)
    found = np.asarray(found)
    bad = found[(found < 0) | (found != np.floor(found))]
    if bad.size:
        raise ValueError(
            f"`{name}` must hold counts, whole numbers from zero, got {bad.size} other values, "
            f"the first {bad.flat[0]:g}."
        )
