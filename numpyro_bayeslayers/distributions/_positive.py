"""Positive observations, parametrized by the logarithm of their mean."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from ._arguments import batch_of
from ._stirling import HALF_LOG_TAU, deviance, stirling_error


class _ByLogMean(dist.Distribution):
    """Base of the two distributions below: a mean, and a positive parameter."""

    support = constraints.positive

    def _set(
        self, log_mean: ArrayLike, other: str, value: ArrayLike, validate: bool | None
    ) -> None:
        batch_shape, (self.log_mean, own) = batch_of(**{"log_mean": log_mean, other: value})
        setattr(self, other, own)
        super().__init__(batch_shape, validate_args=validate)

    @property
    def mean(self) -> Array:
        return jnp.broadcast_to(jnp.exp(self.log_mean), self.batch_shape)


class MeanGamma(_ByLogMean):
    """The gamma distribution with mean m and variance m² / concentration.

    Its density is accurate at large concentrations.
    """

    usual_name = "Gamma"
    arg_constraints: dict[str, Any] = {
        "log_mean": constraints.real,
        "concentration": constraints.positive,
    }
    concentration: Array

    def __init__(
        self,
        log_mean: ArrayLike,
        concentration: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self._set(log_mean, "concentration", concentration, validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        shape = sample_shape + self.batch_shape
        dtype = jnp.result_type(self.log_mean, self.concentration)
        # In logarithms, since draws at a small concentration may underflow.
        log_unit = random.loggamma(key, self.concentration, shape, dtype)
        return jnp.exp(self.log_mean + log_unit - jnp.log(self.concentration))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        size = self.concentration
        y = jnp.asarray(value, jnp.result_type(self.log_mean, size))
        is_inside = y > 0
        y = jnp.where(is_inside, y, 1.0)
        log_y = jnp.log(y)
        off = deviance(size, jnp.exp(self.log_mean) - y, y, self.log_mean - log_y)
        density = 0.5 * jnp.log(size) - HALF_LOG_TAU - stirling_error(size) - off - log_y
        return jnp.where(is_inside, density, -jnp.inf)

    @property
    def variance(self) -> Array:
        return self.mean**2 / self.concentration


class InverseGaussian(_ByLogMean):
    """The inverse Gaussian distribution with mean m and variance m³ / shape_parameter."""

    arg_constraints: dict[str, Any] = {
        "log_mean": constraints.real,
        "shape_parameter": constraints.positive,
    }
    shape_parameter: Array

    def __init__(
        self,
        log_mean: ArrayLike,
        shape_parameter: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self._set(log_mean, "shape_parameter", shape_parameter, validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw the smaller root of the quadratic of a chi-squared variable, or its counterpart.

        References:
            Michael, Schucany, Haas (1976), "Generating random variates using
            transformations with multiple roots", The American Statistician 30.
        """
        shape = sample_shape + self.batch_shape
        dtype = jnp.result_type(self.log_mean, self.shape_parameter)
        key_normal, key_side = random.split(key)
        half = 0.5 * random.normal(key_normal, shape, dtype) ** 2
        half = half * self.mean / self.shape_parameter
        # The root, in a form without a difference of large numbers.
        ratio = 1 / (1 + half + jnp.sqrt(half * (half + 2)))
        is_below = random.uniform(key_side, shape, dtype) * (1 + ratio) <= 1
        return self.mean * jnp.where(is_below, ratio, 1 / ratio)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        size = self.shape_parameter
        y = jnp.asarray(value, jnp.result_type(self.log_mean, size))
        is_inside = y > 0
        y = jnp.where(is_inside, y, 1.0)
        off = size * (y / jnp.exp(self.log_mean) - 1) ** 2 / (2 * y)
        density = 0.5 * jnp.log(size) - HALF_LOG_TAU - 1.5 * jnp.log(y) - off
        return jnp.where(is_inside, density, -jnp.inf)

    @property
    def variance(self) -> Array:
        return self.mean**3 / self.shape_parameter
