"""A bell with exponential tails."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.util import promote_shapes, validate_sample


class HyperbolicSecant(Distribution):
    r"""The hyperbolic secant distribution, between normal and Laplace.

    $$p(x) = \frac{1}{2 \sigma}\, \mathrm{sech}\Big(\frac{\pi (x - \mu)}{2 \sigma}\Big)$$

    Args:
        loc: The mean $\mu$.
        scale: The standard deviation $\sigma$, positive.
        validate_args: Whether to check arguments and values, as in NumPyro.

    Raises:
        ValueError: If `scale` is not positive and arguments are validated.

    Example:
        >>> float(HyperbolicSecant(1.0, 2.0).variance)
        4.0

    References:
        Fischer (2014), "Generalized Hyperbolic Secant Distributions", Springer, section 1.2.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["loc", "scale"]

    def __init__(
        self,
        loc: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = promote_shapes(loc, scale)
        batch_shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw by the inverse of the distribution function."""
        shape = sample_shape + self.batch_shape
        tiny = jnp.finfo(jnp.result_type(float)).tiny
        return self.icdf(jax.random.uniform(key, shape, minval=tiny))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        """The log density, without overflow in the tails."""
        a = jnp.abs(jnp.pi * (value - self.loc) / (2 * self.scale))
        return -a - jnp.log1p(jnp.exp(-2 * a)) - jnp.log(self.scale)

    def cdf(self, value: ArrayLike) -> Array:
        """The distribution function."""
        a = jnp.pi * (value - self.loc) / (2 * self.scale)
        return 2 / jnp.pi * jnp.arctan(jnp.exp(a))

    def icdf(self, q: ArrayLike) -> Array:
        """The value below which a draw falls with probability `q`."""
        return self.loc + self.scale * 2 / jnp.pi * jnp.log(jnp.tan(jnp.pi * q / 2))

    @property
    def mean(self) -> Array:
        """The mean, `loc`."""
        return jnp.broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Array:
        """The variance, the square of `scale`."""
        return jnp.broadcast_to(jnp.square(self.scale), self.batch_shape)
