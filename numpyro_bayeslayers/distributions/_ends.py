"""Proportions that may be exactly 0 or 1."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from ._arguments import as_float


class BetaWithEnds(dist.Distribution):
    """Zero, one, or a draw of the beta distribution `base_dist`, with three log probabilities."""

    usual_name = "Beta with ends"
    arg_constraints: dict[str, Any] = {
        "log_zero": constraints.real,
        "log_one": constraints.real,
        "log_inside": constraints.real,
    }
    support = constraints.unit_interval
    pytree_data_fields = ("base_dist", "log_zero", "log_one", "log_inside")

    def __init__(
        self,
        base_dist: dist.Distribution,
        log_zero: ArrayLike,
        log_one: ArrayLike,
        log_inside: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.base_dist = base_dist
        self.log_zero = as_float("log_zero", log_zero)
        self.log_one = as_float("log_one", log_one)
        self.log_inside = as_float("log_inside", log_inside)
        shapes = map(jnp.shape, (self.log_zero, self.log_one, self.log_inside))
        shape = jnp.broadcast_shapes(base_dist.batch_shape, *shapes)
        super().__init__(shape, validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        key_which, key_inside = random.split(key)
        shape = sample_shape + self.batch_shape
        u = random.uniform(key_which, shape)
        inside = self.base_dist.expand(self.batch_shape).sample(key_inside, sample_shape)
        zero, one = jnp.exp(self.log_zero), jnp.exp(self.log_one)
        return jnp.where(u < zero, 0.0, jnp.where(u >= 1 - one, 1.0, inside))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        y = jnp.asarray(value)
        is_end = (y == 0) | (y == 1)
        some = self.log_inside + self.base_dist.log_prob(jnp.where(is_end, 0.5, y))
        return jnp.where(y == 0, self.log_zero, jnp.where(y == 1, self.log_one, some))

    @property
    def mean(self) -> Array:
        return jnp.exp(self.log_one) + jnp.exp(self.log_inside) * self.base_dist.mean

    @property
    def variance(self) -> Array:
        base = self.base_dist
        second = jnp.exp(self.log_inside) * (base.variance + base.mean**2)
        return jnp.exp(self.log_one) + second - self.mean**2
