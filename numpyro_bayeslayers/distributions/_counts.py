"""Counts of any size: draws in floating point, and accurate densities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from ._arguments import as_float, batch_of
from ._incomplete_beta import incomplete_beta
from ._stirling import HALF_LOG_TAU, deviance, stirling_error

# Above it, draws are a rounded normal with a skewness correction: the next term is below 1e-4
# of a standard deviation. Below it, JAX draws integers.
_LARGE = 2.0**20
# The logarithm of a finite mean far above every count.
_LOG_MOST = 80.0


def draw_poisson(key: Array, rate: Array, shape: tuple[int, ...]) -> Array:
    """Poisson draws in the floating-point type of `rate`, without integer saturation."""
    key_small, key_large = random.split(key)
    is_large = rate > _LARGE
    small = random.poisson(key_small, jnp.where(is_large, 1.0, rate), shape)
    z = random.normal(key_large, shape, rate.dtype)
    finite = jnp.where(jnp.isfinite(rate), rate, 1.0)
    large = jnp.round(finite + jnp.sqrt(finite) * z + (z**2 - 1) / 6)
    large = jnp.where(jnp.isfinite(rate), large, rate)
    return jnp.where(is_large, large, small.astype(rate.dtype))


def negative_binomial_cdf(value: ArrayLike, mean: Array, size: Array) -> Array:
    """The probability of a count of at most `value`, accurate for large counts."""
    y = jnp.floor(jnp.asarray(value, jnp.result_type(mean, size)))
    y, mean, size = jnp.broadcast_arrays(y, mean, size)
    whole, b = size + mean, jnp.maximum(y, 0.0) + 1
    excess = (mean - b) * (size / whole)
    found = incomplete_beta(size, b, size / whole, mean / whole, excess)
    return jnp.where(y < 0, 0.0, found)


def poisson_cdf(value: ArrayLike, rate: Array) -> Array:
    """The probability of a count of at most `value`, accurate for large counts."""
    # With this large a concentration, a negative binomial equals the Poisson to the last digit.
    size = (1 + jax.lax.stop_gradient(rate)) * jnp.finfo(rate.dtype).eps ** -1.5
    return negative_binomial_cdf(value, rate, size)


class LogPoisson(dist.Distribution):
    """Poisson counts, parametrized by the logarithm of their rate."""

    usual_name = "Poisson"
    arg_constraints: dict[str, Any] = {"log_rate": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, log_rate: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.log_rate = as_float("log_rate", log_rate)
        super().__init__(jnp.shape(self.log_rate), validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        return draw_poisson(key, self.mean, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        y = jnp.asarray(value, self.log_rate.dtype)
        k = jnp.maximum(y, 1.0)
        log_k = jnp.log(k)
        rate = jnp.exp(jnp.minimum(self.log_rate, _LOG_MOST))
        off = deviance(k, k - rate, rate, log_k - self.log_rate)
        some = -off - HALF_LOG_TAU - 0.5 * log_k - stirling_error(k)
        return jnp.where(y > 0, some, -self.mean)

    @property
    def mean(self) -> Array:
        return jnp.exp(self.log_rate)

    @property
    def variance(self) -> Array:
        return self.mean

    def cdf(self, value: ArrayLike) -> Array:
        return poisson_cdf(value, self.mean)


class LogNegativeBinomial(dist.Distribution):
    """Negative binomial counts with log mean log m and variance m + m² / concentration."""

    usual_name = "NegativeBinomial"
    arg_constraints: dict[str, Any] = {
        "log_mean": constraints.real,
        "concentration": constraints.positive,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        log_mean: ArrayLike,
        concentration: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        batch_shape, (self.log_mean, self.concentration) = batch_of(
            log_mean=log_mean, concentration=concentration
        )
        super().__init__(batch_shape, validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        key_rate, key_count = random.split(key)
        shape = sample_shape + self.batch_shape
        dtype = jnp.result_type(self.log_mean, self.concentration)
        # In logarithms, since draws at a small concentration may underflow.
        log_gamma = random.loggamma(key_rate, self.concentration, shape, dtype)
        log_rate = self.log_mean - jnp.log(self.concentration) + log_gamma
        return draw_poisson(key_count, jnp.exp(log_rate), shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        size, log_size = self.concentration, jnp.log(self.concentration)
        y = jnp.asarray(value, jnp.result_type(self.log_mean, size))
        k = jnp.maximum(y, 1.0)
        # The binomial density of `size` among `size + k` with probability size / (size + mean).
        whole, log_k = size + k, jnp.log(k)
        log_whole, excess = jnp.log(whole), self.log_mean - log_size
        mean = jnp.exp(jnp.minimum(self.log_mean, _LOG_MOST))
        of_size = jax.nn.softplus(excess) + log_size - log_whole
        of_count = jax.nn.softplus(-excess) + log_k - log_whole
        binomial = (
            stirling_error(whole)
            - stirling_error(size)
            - stirling_error(k)
            - deviance(size, mean - k, whole, of_size)
            - deviance(k, (k - mean) * (size / whole), mean, of_count)
            + 0.5 * (log_whole - log_size - log_k)
            - HALF_LOG_TAU
        )
        some = binomial + log_size - log_whole
        none = -size * jax.nn.softplus(excess)
        return jnp.where(y > 0, some, none)

    @property
    def mean(self) -> Array:
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> Array:
        return self.mean + self.mean**2 / self.concentration

    def cdf(self, value: ArrayLike) -> Array:
        return negative_binomial_cdf(value, self.mean, self.concentration)
