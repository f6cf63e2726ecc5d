"""Counts with a separate probability of zero."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from ._arguments import as_float
from ._counts import LogNegativeBinomial, LogPoisson, draw_poisson


class Hurdle(dist.Distribution):
    """Zero with probability `gate`, otherwise a draw of `base_dist` that is not zero."""

    arg_constraints: dict[str, Any] = {"gate": constraints.unit_interval}
    support = constraints.nonnegative_integer
    pytree_data_fields = ("base_dist", "gate")

    def __init__(
        self,
        base_dist: LogPoisson | LogNegativeBinomial,
        gate: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.gate = as_float("gate", gate)
        shape = jnp.broadcast_shapes(base_dist.batch_shape, jnp.shape(self.gate))
        self.base_dist: Any = base_dist
        super().__init__(shape, validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        key_gate, key_count = random.split(key)
        shape = sample_shape + self.batch_shape
        is_zero = random.uniform(key_gate, shape) < self.gate
        return jnp.where(is_zero, 0, draw_above_zero(self.base_dist, key_count, shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        y = jnp.asarray(value)
        is_zero = y == 0
        some = self.base_dist.log_prob(jnp.where(is_zero, 1, y))
        some = jnp.log1p(-self.gate) + some - self._log_above()
        return jnp.where(is_zero, jnp.log(self.gate), some)

    def _log_above(self) -> Array:
        """The logarithm of the probability that a draw of `base_dist` is not zero."""
        return jax.nn.log1mexp(-self.base_dist.log_prob(0))

    @property
    def mean(self) -> Array:
        return (1 - self.gate) * self.base_dist.mean / jnp.exp(self._log_above())

    @property
    def variance(self) -> Array:
        base = self.base_dist
        second = (base.variance + base.mean**2) * (1 - self.gate)
        return second / jnp.exp(self._log_above()) - self.mean**2


@functools.singledispatch
def draw_above_zero(base: dist.Distribution, key: Array, shape: tuple[int, ...]) -> Array:
    """Draws of counts that are not zero, without rejection."""
    raise NotImplementedError(type(base).__name__)


@draw_above_zero.register
def _(base: LogPoisson, key: Array, shape: tuple[int, ...]) -> Array:
    """The time of the first event within one unit of time, then Poisson events after it."""
    key_first, key_rest = random.split(key)
    u = random.uniform(key_first, shape, base.log_rate.dtype)
    left = base.mean + jnp.log1p(
        u * jnp.expm1(-base.mean)
    )  # the rate times the remaining time
    return 1 + draw_poisson(key_rest, jnp.maximum(left, 0), shape)


@draw_above_zero.register
def _(base: LogNegativeBinomial, key: Array, shape: tuple[int, ...]) -> Array:
    """Births with immigration: the first arrival, then a population that starts with it.

    If the population is empty at first and arrivals have rate c, its size at time T is negative
    binomial with shape c and mean c (exp(T) - 1). After the first arrival at t, the population
    starts with one, and the others have shape c + 1 and time T - t.
    """
    key_first, key_rest = random.split(key)
    size = base.concentration
    until = jax.nn.softplus(base.log_mean - jnp.log(size))
    u = random.uniform(key_first, shape, base.log_mean.dtype)
    first = -jnp.log1p(u * jnp.expm1(-size * until)) / size
    growth = jnp.expm1(jnp.clip(until - first, jnp.finfo(u.dtype).tiny))
    after = LogNegativeBinomial(jnp.log(growth) + jnp.log1p(size), size + 1)
    return 1 + after.sample(key_rest)
