"""Log probabilities of ranges of values, accurate in both tails."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import betainc, log_ndtr
from jaxtyping import Array, ArrayLike

from ._counts import LogPoisson
from ._incomplete_gamma import log_gammainc, log_gammaincc
from ._positive import MeanGamma

_Tail: TypeAlias = Callable[[dist.Distribution, Array], Array]


@functools.singledispatch
def log_below(fn: dist.Distribution, x: Array) -> Array:
    """The logarithm of the probability of `x` or less."""
    raise NotImplementedError(type(fn).__name__)


@functools.singledispatch
def log_above(fn: dist.Distribution, x: Array) -> Array:
    """The logarithm of the probability of `x` or more."""
    raise NotImplementedError(type(fn).__name__)


def log_between(
    fn: dist.Distribution, low: ArrayLike | None, high: ArrayLike | None
) -> Array:
    """The log probability of `low` to `high`, both included; None means no bound."""
    step = 1.0 if fn.is_discrete else 0.0
    if low is None or high is None:
        only = jnp.zeros(()) if high is None else _or_all(log_below, fn, high)
        return only if low is None else _or_all(log_above, fn, low)
    low, high = jnp.asarray(low, float), jnp.asarray(high, float)
    above, below = _or_all(log_above, fn, low), _or_all(log_below, fn, high)
    # The difference of two tail probabilities, on the side of the smaller tail.
    beyond_high = _or_none(log_above, fn, high, high + step)
    beyond_low = _or_none(log_below, fn, low, low - step)
    is_upper = above < below
    larger = jnp.where(is_upper, above, below)
    smaller = jnp.where(is_upper, beyond_high, beyond_low)
    return larger + jax.nn.log1mexp(jnp.maximum(larger - smaller, 0))


def has_tails(fn: dist.Distribution) -> bool:
    """Whether both tails are implemented for `fn`."""
    return log_below.dispatch(type(fn)) is not log_below.dispatch(object)


def _or_all(of: _Tail, fn: dist.Distribution, x: ArrayLike) -> Array:
    """Zero where the bound is infinite."""
    return _where_finite(of, fn, jnp.asarray(x, float), jnp.asarray(x, float), 0.0)


def _or_none(of: _Tail, fn: dist.Distribution, bound: Array, x: Array) -> Array:
    """Minus infinity where the bound is infinite."""
    return _where_finite(of, fn, bound, x, -jnp.inf)


def _where_finite(
    of: _Tail, fn: dist.Distribution, bound: Array, x: Array, other: float
) -> Array:
    is_finite = jnp.isfinite(bound)
    inner = jax.lax.stop_gradient(jnp.broadcast_to(fn.mean, jnp.shape(bound + fn.mean)))
    inner = jnp.floor(inner) if fn.is_discrete else inner
    inner = jnp.where(jnp.isfinite(inner), inner, 1.0)
    return jnp.where(is_finite, of(fn, jnp.where(is_finite, x, inner)), other)


@log_below.register(dist.Normal)
def _(fn: Any, x: Array) -> Array:
    return log_ndtr((x - fn.loc) / fn.scale)


@log_above.register(dist.Normal)
def _(fn: Any, x: Array) -> Array:
    return log_ndtr((fn.loc - x) / fn.scale)


@log_below.register(dist.LogNormal)
def _(fn: Any, x: Array) -> Array:
    inside = x > 0
    found = log_ndtr((jnp.log(jnp.where(inside, x, 1.0)) - fn.loc) / fn.scale)
    return jnp.where(inside, found, -jnp.inf)


@log_above.register(dist.LogNormal)
def _(fn: Any, x: Array) -> Array:
    inside = x > 0
    found = log_ndtr((fn.loc - jnp.log(jnp.where(inside, x, 1.0))) / fn.scale)
    return jnp.where(inside, found, 0.0)


@log_below.register(dist.StudentT)
def _(fn: Any, x: Array) -> Array:
    return _log_t_above(fn.df, (fn.loc - x) / fn.scale)


@log_above.register(dist.StudentT)
def _(fn: Any, x: Array) -> Array:
    return _log_t_above(fn.df, (x - fn.loc) / fn.scale)


def _log_t_above(df: Array, t: Array) -> Array:
    tail = 0.5 * betainc(0.5 * df, 0.5, df / (df + t**2))
    return jnp.where(t > 0, jnp.log(tail), jnp.log1p(-tail))


@log_below.register(dist.Exponential)
def _(fn: Any, x: Array) -> Array:
    return _log_of_hazard(fn.rate * jnp.maximum(x, 0))


@log_above.register(dist.Exponential)
def _(fn: Any, x: Array) -> Array:
    return -fn.rate * jnp.maximum(x, 0)


@log_below.register(dist.Weibull)
def _(fn: Any, x: Array) -> Array:
    return _log_of_hazard(_weibull_hazard(fn, x))


@log_above.register(dist.Weibull)
def _(fn: Any, x: Array) -> Array:
    return -_weibull_hazard(fn, x)


def _weibull_hazard(fn: Any, x: Array) -> Array:
    inside = x > 0
    hazard = (jnp.where(inside, x, 1.0) / fn.scale) ** fn.concentration
    return jnp.where(inside, hazard, 0.0)


def _log_of_hazard(hazard: Array) -> Array:
    """The log probability of an event by the time of this cumulative hazard."""
    inside = hazard > 0
    return jnp.where(inside, jax.nn.log1mexp(jnp.where(inside, hazard, 1.0)), -jnp.inf)


@log_below.register(MeanGamma)
def _(fn: Any, x: Array) -> Array:
    inside = x > 0
    unit = jnp.where(inside, x, 1.0) * jnp.exp(-fn.log_mean) * fn.concentration
    return jnp.where(inside, log_gammainc(fn.concentration, unit), -jnp.inf)


@log_above.register(MeanGamma)
def _(fn: Any, x: Array) -> Array:
    inside = x > 0
    unit = jnp.where(inside, x, 1.0) * jnp.exp(-fn.log_mean) * fn.concentration
    return jnp.where(inside, log_gammaincc(fn.concentration, unit), 0.0)


@log_below.register(LogPoisson)
def _(fn: Any, x: Array) -> Array:
    inside = x >= 0
    found = log_gammaincc(jnp.where(inside, jnp.floor(x), 0.0) + 1, fn.mean)
    return jnp.where(inside, found, -jnp.inf)


@log_above.register(LogPoisson)
def _(fn: Any, x: Array) -> Array:
    inside = x > 0
    return jnp.where(
        inside, log_gammainc(jnp.where(inside, jnp.ceil(x), 1.0), fn.mean), 0.0
    )
