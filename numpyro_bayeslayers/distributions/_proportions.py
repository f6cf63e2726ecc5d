"""Proportions with any precision."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike
from numpyro.distributions.util import validate_sample

from ._stirling import HALF_LOG_TAU, deviance, stirling_error


def beta_of_log_odds(mu: Array, precision: Array) -> "PreciseBeta":
    """The beta distribution with the given log odds of its mean, and precision."""
    return PreciseBeta(jax.nn.sigmoid(mu) * precision, jax.nn.sigmoid(-mu) * precision)


class PreciseBeta(dist.Beta):
    """The beta distribution, with an accurate density at large concentrations."""

    usual_name = "Beta"

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        a, b = self.concentration1, self.concentration0
        y = jnp.asarray(value, jnp.result_type(a, b, float))
        is_inside = (y > 0) & (y < 1)
        y = jnp.where(is_inside, y, 0.5)
        total = a + b
        log_y, log_rest, log_total = jnp.log(y), jnp.log1p(-y), jnp.log(total)
        log_a, log_b = jnp.log(a), jnp.log(b)
        mean, rest = y * total, (1 - y) * total
        density = (
            stirling_error(total)
            - stirling_error(a)
            - stirling_error(b)
            - deviance(a, a - mean, mean, log_a - log_y - log_total)
            - deviance(b, b - rest, rest, log_b - log_rest - log_total)
            + 0.5 * (log_a + log_b - log_total)
            - HALF_LOG_TAU
            - log_y
            - log_rest
        )
        return jnp.where(is_inside, density, -jnp.inf)
