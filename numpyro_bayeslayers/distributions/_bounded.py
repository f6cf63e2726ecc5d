"""Censored and truncated distributions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from ._support import Within, support_of
from ._tails import log_above, log_below, log_between

_STEPS = 64
# Its hyperbolic sine is near the largest finite number.
_FAR = 88.0
_MOST = 2.0**24


class _Bounded(dist.Distribution):
    """Base of the distributions below: a distribution, and bounds for each of its values."""

    arg_constraints: dict[str, Any] = {}
    pytree_data_fields = ("base_dist", "low", "high")
    mend = ""

    def __init__(
        self,
        base_dist: dist.Distribution,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.base_dist, self.low, self.high = base_dist, low, high
        bounds = [jnp.shape(x) for x in (low, high) if x is not None]
        shape = jnp.broadcast_shapes(base_dist.batch_shape, *bounds)
        super().__init__(shape, validate_args=validate_args)

    @property
    def observations(self) -> Within:
        """The values that can be observed."""
        return Within(support_of(self.base_dist), self.low, self.high, self.mend)

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        return self.base_dist.support

    @property
    def usual_name(self) -> str:
        base = self.base_dist
        name = getattr(base, "usual_name", type(base).__name__)
        return f"{type(self).__name__.lower()} {name}"


class Censored(_Bounded):
    """`base_dist` with censoring: a value at a bound represents all values beyond it.

    Draws, mean and variance are those of `base_dist`, without the bounds.
    """

    mend = "Values beyond a bound are recorded at the bound: clip them."

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.base_dist.expand(self.batch_shape).sample(key, sample_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        y = jnp.asarray(value)
        found = jnp.asarray(self.base_dist.log_prob(y))
        if self.low is not None:
            is_below = y <= self.low
            found = jnp.where(is_below, log_below(self.base_dist, y), found)
        if self.high is not None:
            is_above = y >= self.high
            found = jnp.where(is_above, log_above(self.base_dist, y), found)
        return found

    @property
    def mean(self) -> Array:
        return jnp.broadcast_to(self.base_dist.mean, self.batch_shape)

    @property
    def variance(self) -> Array:
        return jnp.broadcast_to(self.base_dist.variance, self.batch_shape)


class Truncated(_Bounded):
    """`base_dist` conditioned on a value from `low` to `high`, both included."""

    mend = "Rows out of bounds cannot be observed: drop them, or give other bounds."

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        base: Any = self.base_dist.support
        low: Any = self.low
        high: Any = self.high
        if base.is_discrete or (low is None and high is None):
            return base
        low = getattr(base, "lower_bound", None) if low is None else low
        high = getattr(base, "upper_bound", None) if high is None else high
        if low is not None and high is not None:
            return constraints.interval(low, high)
        if low is not None:
            return constraints.greater_than(low)
        return base if high is None else constraints.less_than(high)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """The quantile at a uniform number, computed by bisection."""
        fn, shape = self.base_dist, sample_shape + self.batch_shape
        u = random.uniform(key, shape, minval=jnp.finfo(float).tiny)
        wanted = jnp.log(u) + log_between(fn, self.low, self.high)
        least = getattr(support_of(fn), "lower_bound", -jnp.inf)
        low = jnp.maximum(-jnp.inf if self.low is None else self.low, least)
        high = jnp.asarray(jnp.inf if self.high is None else self.high)
        if self.is_discrete:
            value = lambda x: x
            ends = jnp.ceil(low) - 1, jnp.minimum(jnp.floor(high), _MOST)
            halve = lambda low, high: jnp.floor((low + high) / 2)
        else:
            value = jnp.sinh
            ends = tuple(jnp.clip(jnp.arcsinh(x), -_FAR, _FAR) for x in (low, high))
            halve = lambda low, high: (low + high) / 2

        def step(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = halve(*ends)
            is_less = log_between(fn, self.low, value(middle)) < wanted
            return jnp.where(is_less, middle, ends[0]), jnp.where(is_less, ends[1], middle)

        ends = tuple(jnp.broadcast_to(x, shape).astype(u.dtype) for x in ends)
        return value(jax.lax.fori_loop(0, _STEPS, step, ends)[1])

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        y = jnp.asarray(value)
        inside = Within(None, self.low, self.high, self.mend)(y)
        found = self.base_dist.log_prob(y) - log_between(
            self.base_dist, self.low, self.high
        )
        return jnp.where(inside, found, -jnp.inf)
