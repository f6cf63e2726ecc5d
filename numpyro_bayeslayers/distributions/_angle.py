"""Angles with any concentration."""

import math

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import i0e
from jaxtyping import Array, ArrayLike
from numpyro.distributions.util import validate_sample


class PreciseVonMises(dist.VonMises):
    """The von Mises distribution, with an accurate density at large concentrations."""

    usual_name = "VonMises"

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        half = jnp.sin((jnp.asarray(value) - self.loc) / 2)
        level = math.log(2 * math.pi) + jnp.log(i0e(self.concentration))
        return -2 * self.concentration * half**2 - level
