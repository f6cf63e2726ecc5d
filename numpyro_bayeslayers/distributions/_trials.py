"""Successes among trials, with densities that are accurate for any number of trials."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from ._arguments import batch_of
from ._stirling import HALF_LOG_TAU, deviance, stirling_error


def _log_rising(a: Array, k: Array) -> Array:
    """The logarithm of a (a + 1) ... (a + k - 1), without a difference of two log gammas."""
    whole = a + k
    growth = (a - 0.5) * jnp.log1p(k / a) + k * jnp.log(whole) - k
    return jnp.where(k > 0, growth + stirling_error(whole) - stirling_error(a), 0.0)


def _log_choose(n: Array, k: Array) -> Array:
    """The logarithm of the number of ways to choose k of n."""
    inside = (k > 0) & (k < n)
    k = jnp.where(inside, k, 1.0)
    n = jnp.where(inside, n, 2.0)
    rest = n - k
    log_n, log_k, log_rest = jnp.log(n), jnp.log(k), jnp.log(rest)
    some = (
        stirling_error(n)
        - stirling_error(k)
        - stirling_error(rest)
        + k * (log_n - log_k)
        + rest * (log_n - log_rest)
        + 0.5 * (log_n - log_k - log_rest)
        - HALF_LOG_TAU
    )
    return jnp.where(inside, some, 0.0)


class _OfTrials(dist.Distribution):
    """Whole numbers from 0 to `total_count`."""

    total_count: Array

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)


class LogitBinomial(_OfTrials):
    """Successes of independent trials, parametrized by the log odds of success."""

    usual_name = "Binomial"
    arg_constraints: dict[str, Any] = {
        "logits": constraints.real,
        "total_count": constraints.nonnegative,
    }

    def __init__(
        self,
        logits: ArrayLike,
        total_count: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        batch_shape, (self.logits, self.total_count) = batch_of(
            logits=logits, total_count=total_count
        )
        super().__init__(batch_shape, validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        shape = sample_shape + self.batch_shape
        share = jax.nn.sigmoid(self.logits)
        return random.binomial(key, self.total_count, share, shape, share.dtype)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        n = self.total_count
        y = jnp.asarray(value, jnp.result_type(self.logits, n))
        log_p, log_q = -jax.nn.softplus(-self.logits), -jax.nn.softplus(self.logits)
        inside = (y > 0) & (y < n)
        k, whole = jnp.where(inside, y, 1.0), jnp.where(inside, n, 2.0)
        rest = whole - k
        log_n, log_k, log_rest = jnp.log(whole), jnp.log(k), jnp.log(rest)
        mean, other = whole * jnp.exp(log_p), whole * jnp.exp(log_q)
        some = (
            stirling_error(whole)
            - stirling_error(k)
            - stirling_error(rest)
            - deviance(k, k - mean, mean, log_k - log_n - log_p)
            - deviance(rest, mean - k, other, log_rest - log_n - log_q)
            + 0.5 * (log_n - log_k - log_rest)
            - HALF_LOG_TAU
        )
        return jnp.where(inside, some, jnp.where(y > 0, n * log_p, n * log_q))

    @property
    def mean(self) -> Array:
        return self.total_count * jax.nn.sigmoid(self.logits)

    @property
    def variance(self) -> Array:
        return self.mean * jax.nn.sigmoid(-self.logits)


class MeanBetaBinomial(_OfTrials):
    """Successes of trials, with a beta-distributed success probability for each row."""

    usual_name = "BetaBinomial"
    arg_constraints: dict[str, Any] = {
        "logits": constraints.real,
        "precision": constraints.positive,
        "total_count": constraints.nonnegative,
    }

    def __init__(
        self,
        logits: ArrayLike,
        precision: ArrayLike,
        total_count: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        batch_shape, (self.logits, self.precision, self.total_count) = batch_of(
            logits=logits, precision=precision, total_count=total_count
        )
        super().__init__(batch_shape, validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        key_up, key_down, key_count = random.split(key, 3)
        shape = sample_shape + self.batch_shape
        # In log odds, as a beta draw may underflow at both ends.
        up = random.loggamma(key_up, self.precision * jax.nn.sigmoid(self.logits), shape)
        down = random.loggamma(
            key_down, self.precision * jax.nn.sigmoid(-self.logits), shape
        )
        return LogitBinomial(up - down, self.total_count).sample(key_count)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        n, phi = self.total_count, self.precision
        y = jnp.asarray(value, jnp.result_type(self.logits, n, phi))
        up, down = phi * jax.nn.sigmoid(self.logits), phi * jax.nn.sigmoid(-self.logits)
        odds = _log_rising(up, y) + _log_rising(down, n - y) - _log_rising(phi, n)
        return _log_choose(n, y) + odds

    @property
    def mean(self) -> Array:
        return self.total_count * jax.nn.sigmoid(self.logits)

    @property
    def variance(self) -> Array:
        n, phi = self.total_count, self.precision
        return self.mean * jax.nn.sigmoid(-self.logits) * (n + phi) / (1 + phi)
