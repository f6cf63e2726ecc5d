r"""The regularized incomplete beta function, accurate at large parameters.

In single precision, JAX's version loses all digits for parameters above about ten thousand,
because its leading factor is a difference of log gamma functions. Here, this factor is a
deviance, see `_stirling`, and the rest is a continued fraction whose terms are positive below
the mean.

References:
    DiDonato and Morris (1992), "Algorithm 708: significant digit computation of the
    incomplete beta function ratios", ACM Transactions on Mathematical Software 18, equation
    9; Loader (2000), "Fast and accurate computation of binomial probabilities".
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from ._stirling import HALF_LOG_TAU, deviance, stirling_error

# About the square root of the parameters is needed: enough for counts of 10^8.
_MOST_TERMS = 20_000


def log_beta_power(
    a: Float[Array, "..."],
    b: Float[Array, "..."],
    x: Float[Array, "..."],
    rest: Float[Array, "..."],
    excess: Float[Array, "..."],
) -> Float[Array, "..."]:
    r"""$\log \big( x^a (1 - x)^b / B(a, b) \big)$, with the arguments of `incomplete_beta`."""
    whole = a + b
    tiny = jnp.finfo(x.dtype).tiny
    x, rest = jnp.maximum(x, tiny), jnp.maximum(rest, tiny)
    of_x, of_rest = (
        deviance(v, e, whole * share, jnp.log(v) - jnp.log(whole) - jnp.log(share))
        for v, e, share in ((a, excess, x), (b, -excess, rest))
    )
    errors = stirling_error(whole) - stirling_error(a) - stirling_error(b)
    half = 0.5 * (jnp.log(a) + jnp.log(b) - jnp.log(whole))
    return half - HALF_LOG_TAU + errors - of_x - of_rest


@jax.custom_jvp
def incomplete_beta(
    a: Float[Array, "..."],
    b: Float[Array, "..."],
    x: Float[Array, "..."],
    rest: Float[Array, "..."],
    excess: Float[Array, "..."],
) -> Float[Array, "..."]:
    r"""$I_x(a, b)$: the probability below x of a beta distribution.

    Args:
        a: Positive.
        b: Positive; all arguments have the same shape.
        x: From 0 to 1.
        rest: $1 - x$, which is accurate where x is near 1.
        excess: $a (1 - x) - b x$, which is accurate where x is near the mean.
    """
    is_low = excess >= 0
    swapped = (b, a), (a, b), (rest, x), (x, rest), (-excess, excess)
    p, q, at, past, above = (jnp.where(is_low, v, u) for u, v in swapped)
    factor = jnp.exp(log_beta_power(a, b, x, rest, excess))
    found = jnp.where(at > 0, factor * _fraction(p, q, at, past, above), 0.0)
    return jnp.clip(jnp.where(is_low, found, 1 - found), 0.0, 1.0)


@partial(incomplete_beta.defjvp, symbolic_zeros=True)
def _derivative(primals: Any, tangents: Any) -> tuple[Array, Any]:
    _, _, x, rest, _ = primals
    of_a, of_b, of_x, *_ = tangents
    if not all(isinstance(t, SymbolicZero) for t in (of_a, of_b)):
        raise NotImplementedError(
            "The incomplete beta function has no derivative with respect to its parameters `a` "
            "and `b` (degrees of freedom, or concentration). Use `jax.lax.stop_gradient` on them."
        )
    if isinstance(of_x, SymbolicZero):
        return incomplete_beta(*primals), jnp.zeros_like(x)
    slope = jnp.exp(log_beta_power(*primals)) / jnp.maximum(
        x * rest, jnp.finfo(x.dtype).tiny
    )
    return incomplete_beta(*primals), slope * of_x


def _fraction(a: Array, b: Array, x: Array, rest: Array, excess: Array) -> Array:
    """The continued fraction, in the form with positive terms below the mean."""
    ratio, start = b / a, 1 + excess
    first = 1 + 1 / a
    enough = 2 * jnp.finfo(x.dtype).eps

    def is_moving(state: tuple[Array, ...]) -> Array:
        n, *_, found, before = state
        return (n < _MOST_TERMS) & jnp.any(jnp.abs(found - before) > enough * found)

    def add(state: tuple[Array, ...]) -> tuple[Array, ...]:
        n, top, under, top_before, under_before, found, _ = state
        n = n + 1
        share, past, size = n / a, (n - 1) / a + 1, a + 2 * n - 1
        weight = n * (b - n) * x
        e = a / size
        alpha = past * (past + ratio) * e * e * (weight * x)
        beta = (
            n + weight / size + (1 + share) / (first + 2 * share) * (start + n * (1 + rest))
        )
        top_before, top = top, alpha * top_before + beta * top
        under_before, under = under, alpha * under_before + beta * under
        top, under, top_before, under_before = (
            v / under for v in (top, under, top_before, under_before)
        )
        return n, top, under, top_before, under_before, top, found

    one = jnp.ones_like(x)
    begin = start / first
    state = (
        jnp.zeros((), x.dtype),
        one / begin,
        one,
        0 * one,
        one / begin,
        one / begin,
        0 * one,
    )
    return lax.while_loop(is_moving, add, state)[5]
