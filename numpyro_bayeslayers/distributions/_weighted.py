"""Weighted rows within one event."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints


class Weighted(dist.Distribution):
    """`base_dist` with log densities multiplied by `weights`; draws are those of `base_dist`.

    `numpyro.handlers.scale` weights the batch axes of a site, but rows inside a plate of groups
    are event axes.
    """

    arg_constraints: dict[str, Any] = {}
    pytree_data_fields = ("base_dist", "weights")

    def __init__(self, base_dist: dist.Distribution, weights: Array) -> None:
        batch_shape = jnp.broadcast_shapes(base_dist.batch_shape, weights.shape)
        self.base_dist = base_dist.expand(batch_shape)
        self.weights = weights
        super().__init__(batch_shape, base_dist.event_shape)

    @constraints.dependent_property
    def support(self) -> Any:
        return self.base_dist.support

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.base_dist.sample(key, sample_shape)

    def log_prob(self, value: Array) -> Array:
        return self.weights * self.base_dist.log_prob(value)

    @property
    def mean(self) -> Array:
        return self.base_dist.mean

    @property
    def variance(self) -> Array:
        return self.base_dist.variance
