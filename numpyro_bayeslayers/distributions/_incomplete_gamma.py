r"""Logarithms of the incomplete gamma functions, also where the functions underflow.

$$P(a, x) = \frac{1}{\Gamma(a)} \int_0^x t^{a-1} e^{-t} dt, \qquad Q(a, x) = 1 - P(a, x)$$

References:
    DLMF, "NIST digital library of mathematical functions", equations 8.7.1 (series) and
    8.9.2 (continued fraction).
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc, gammaln
from jaxtyping import Array, Float

# Below it, logarithms are computed from the expansions, which have converged there.
_SMALL = 1e-10
_TERMS = 60


def log_gammainc(a: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logarithm of the regularized lower incomplete gamma function."""
    a, x = jnp.broadcast_arrays(a, x)
    rest = gammaincc(a, x)
    is_small = (rest > 0.5) & (gammainc(a, x) < _SMALL)
    x_small = jnp.where(is_small, x, 0.1 * a)
    x_safe = jnp.where(is_small, a, x)

    def add(total: tuple[Array, Array], n: Array) -> tuple[tuple[Array, Array], None]:
        term, so_far = total
        term = term * x_small / (a + n)
        return (term, so_far + term), None

    start = jnp.ones_like(x_small), jnp.ones_like(x_small)
    (_, series), _ = jax.lax.scan(add, start, jnp.arange(1.0, _TERMS, dtype=x.dtype))
    small = a * jnp.log(x_small) - x_small - gammaln(a + 1) + jnp.log(series)
    is_upper = gammaincc(a, x_safe) < 0.5
    by_rest = jnp.log1p(-jnp.where(is_upper, gammaincc(a, x_safe), 0.25))
    itself = jnp.log(jnp.where(is_upper, 0.5, gammainc(a, x_safe)))
    return jnp.where(is_small, small, jnp.where(is_upper, by_rest, itself))


def log_gammaincc(a: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logarithm of the regularized upper incomplete gamma function."""
    a, x = jnp.broadcast_arrays(a, x)
    is_small = (gammainc(a, x) > 0.5) & (gammaincc(a, x) < _SMALL)
    x_small = jnp.where(is_small, x, 4 * a + 40)
    x_safe = jnp.where(is_small, a, x)

    def nest(inner: Array, n: Array) -> tuple[Array, None]:
        return n * (a - n) / (x_small + 2 * n + 1 - a + inner), None

    steps = jnp.arange(float(_TERMS), 0.0, -1.0, dtype=x.dtype)
    inner, _ = jax.lax.scan(nest, jnp.zeros_like(x_small), steps)
    fraction = x_small + 1 - a + inner
    small = a * jnp.log(x_small) - x_small - gammaln(a) - jnp.log(fraction)
    is_lower = gammainc(a, x_safe) < 0.5
    by_rest = jnp.log1p(-jnp.where(is_lower, gammainc(a, x_safe), 0.25))
    itself = jnp.log(jnp.where(is_lower, 0.5, gammaincc(a, x_safe)))
    return jnp.where(is_small, small, jnp.where(is_lower, by_rest, itself))
