r"""Accurate log densities of counts and proportions.

The textbook forms are differences of log gamma functions and of logarithms times counts. At a
count of a million, each term is about ten million and has seven digits in single precision, so
the difference is off by one. Here, the large parts are canceled analytically,

$$\log x! = (x + \tfrac12) \log x - x + \tfrac12 \log 2\pi + \delta(x)$$

and the remainder is a deviance, which is small where observations are likely.

References:
    Loader (2000), "Fast and accurate computation of binomial probabilities".
"""

import math

import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_SERIES = (1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)
_FROM = 10.0


def stirling_error(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The error of Stirling's formula, $\delta(x)$, for positive x."""
    small, large = jnp.minimum(x, _FROM), jnp.maximum(x, _FROM)
    exact = gammaln(small) - (small - 0.5) * jnp.log(small) + small - HALF_LOG_TAU
    inverse = 1 / large
    series = jnp.polyval(jnp.asarray(_SERIES, x.dtype), inverse**2) * inverse
    return jnp.where(x < _FROM, exact, series)


def deviance(
    x: Float[Array, "..."],
    excess: Float[Array, "..."],
    unit: Float[Array, "..."],
    log_ratio: Float[Array, "..."],
) -> Float[Array, "..."]:
    r"""The deviance $x \log(x / m) + m - x \ge 0$ for $x > 0$ and a mean $m > 0$.

    Args:
        x: Numbers.
        excess: With `unit`, the ratio $x / m - 1$, accurate where it is small.
        unit: Divisor of `excess`.
        log_ratio: $\log x - \log m$, used where the ratio is not small, as it does not overflow.
    """
    is_near = jnp.abs(excess) < 0.5 * unit
    near = jnp.where(is_near, excess, 0.0) / jnp.where(is_near, unit, 1.0)
    far = jnp.where(is_near, 0.0, log_ratio)
    of_near = jnp.log1p(near) - near / (1 + near)
    return x * jnp.where(is_near, of_near, far + jnp.expm1(-far))
