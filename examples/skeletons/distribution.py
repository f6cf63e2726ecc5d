"""A distribution, as NumPyro writes its own.

The comments are for you: delete them from your copy.
"""

import math

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from numpyro_bayeslayers._typing import PRNGKey
from numpyro_bayeslayers.distributions._arguments import as_float


class Rayleigh(dist.Distribution):
    r"""The length of a vector of two independent normals.

    $$p(x) = \frac{x}{s^2}\, e^{-x^2 / (2 s^2)}, \qquad x > 0$$

    Args:
        scale: Standard deviation $s$ of the two normals, positive, in the units of $x$.
        validate_args: As in every distribution of NumPyro.

    Raises:
        ValueError: If `scale` is not positive and arguments are validated.

    Example:
        >>> round(float(Rayleigh(2.0).mean), 4)
        2.5066

    References:
        Johnson, Kotz, Balakrishnan (1994), "Continuous univariate distributions", volume 1,
        section 18.10.
    """

    # What NumPyro checks, transforms and differentiates by. Arrays that are no argument
    # belong in `pytree_data_fields`, settings that are no arrays in `pytree_aux_fields`.
    arg_constraints = {"scale": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["scale"]

    def __init__(
        self, scale: ArrayLike = 1.0, *, validate_args: bool | None = None
    ) -> None:
        # Not `jnp.asarray`: in a compiled function it would hide the value from the checks.
        self.scale = as_float("scale", scale)
        super().__init__(self.scale.shape, (), validate_args=validate_args)

    # `sample_shape` first, then the batch, then the event; differentiable in the arguments
    # that `reparametrized_params` lists; in the type of the arguments.
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # as NumPyro's own
        shape = tuple(sample_shape) + self.batch_shape
        return self.scale * jnp.sqrt(2 * random.exponential(key, shape, self.scale.dtype))

    # Written so that it neither over- nor underflows; the decorator warns of values outside.
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        z = value / self.scale
        return jnp.log(z) - jnp.log(self.scale) - jnp.square(z) / 2

    def cdf(self, value: ArrayLike) -> Array:
        return -jnp.expm1(-jnp.square(value / self.scale) / 2)

    def icdf(self, q: ArrayLike) -> Array:
        return self.scale * jnp.sqrt(-2 * jnp.log1p(-q))

    @property
    def mean(self) -> Array:
        return self.scale * math.sqrt(math.pi / 2)

    @property
    def variance(self) -> Array:
        return jnp.square(self.scale) * (2 - math.pi / 2)
