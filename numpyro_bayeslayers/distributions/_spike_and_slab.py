"""The spike-and-slab distribution: a mixture of two normals."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from .._promotion import promoting
from .._typing import PRNGKey
from ._arguments import as_float, batch_of


class SpikeAndSlab(dist.Distribution):
    r"""The spike-and-slab prior, with the choice between the two summed out.

    $$p(x) = (1 - \pi)\, N(x \mid 0, \epsilon^2) + \pi\, N(x \mid 0, c^2)$$

    A narrow spike keeps the density smooth, so that NUTS and variational inference can use it,
    and treats values of the size of $\epsilon$ as zero; the default is a hundredth of the
    slab's scale. The narrower the spike, the smaller the steps that NUTS must take inside it,
    and the rarer its moves from spike to slab.

    With ``spike_scale=0`` the spike is a point mass, and `log_prob` is the exact density with
    respect to a unit mass at zero plus length: $\log(1 - \pi)$ at zero,
    $\log \pi + \log N(x \mid 0, c^2)$ elsewhere. Gradient-based samplers never visit the point
    mass, so their result would be that of the slab alone: use it only to draw data and to
    evaluate densities.

    Args:
        inclusion: The probability $\pi$ of the slab, in [0, 1].
        slab_scale: The standard deviation $c$ of the slab, positive, in the units of $x$.
        spike_scale: The standard deviation $\epsilon$ of the spike, zero or positive, in the
            units of $x$; ``0.01 * slab_scale`` by default.
        validate_args: As in NumPyro's distributions.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> prior = SpikeAndSlab(0.2, 1.0)
        >>> [round(float(prior.slab_probability(x)), 3) for x in (0.0, 0.02, 0.05)]
        [0.002, 0.018, 0.999]

    References:
        George and McCulloch (1993), "Variable selection via Gibbs sampling", Journal of the
        American Statistical Association 88, equation 4. Mitchell and Beauchamp (1988),
        "Bayesian variable selection in linear regression", the same journal 83, section 1,
        has the point mass (with a uniform slab).
    """

    arg_constraints = {
        "inclusion": constraints.unit_interval,
        "slab_scale": constraints.positive,
        "spike_scale": constraints.nonnegative,
    }
    support = constraints.real
    reparametrized_params = ["slab_scale", "spike_scale"]

    def __init__(
        self,
        inclusion: ArrayLike,
        slab_scale: ArrayLike,
        spike_scale: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if spike_scale is None:
            with jax.ensure_compile_time_eval():
                spike_scale = 0.01 * as_float("slab_scale", slab_scale)
        batch_shape, arguments = batch_of(
            inclusion=inclusion, slab_scale=slab_scale, spike_scale=spike_scale
        )
        self.inclusion, self.slab_scale, self.spike_scale = arguments
        super().__init__(batch_shape, (), validate_args=validate_args)

    @promoting()
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # as NumPyro's own
        key_normal, key_choice = random.split(key)
        shape = tuple(sample_shape) + self.batch_shape
        is_slab = random.bernoulli(key_choice, self.inclusion, shape)
        scale = jnp.where(is_slab, self.slab_scale, self.spike_scale)
        return random.normal(key_normal, shape, scale.dtype) * scale

    @promoting()
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        return jnp.logaddexp(*self._log_parts(value))

    def slab_probability(self, value: ArrayLike) -> Array:
        """The probability that `value` came from the slab.

        The mean over posterior draws of a coefficient is its posterior inclusion probability.
        """
        spike, slab = self._log_parts(value)
        return jax.nn.sigmoid(slab - spike)

    def _log_parts(self, value: ArrayLike) -> tuple[Array, Array]:
        """The weighted log densities of spike and slab."""
        is_point = self.spike_scale == 0
        is_zero = value == 0
        width = jnp.where(is_point, 1.0, self.spike_scale)
        point = jnp.where(is_zero, 0.0, -jnp.inf)
        spike = jnp.where(is_point, point, norm.logpdf(value, 0.0, width))
        slab = norm.logpdf(value, 0.0, self.slab_scale)
        slab = jnp.where(is_point & is_zero, -jnp.inf, slab)  # the slab has no mass there
        return jnp.log1p(-self.inclusion) + spike, jnp.log(self.inclusion) + slab

    @property
    def mean(self) -> Array:
        return jnp.zeros(self.batch_shape, self.slab_scale.dtype)

    @property
    def variance(self) -> Array:
        spike, slab = jnp.square(self.spike_scale), jnp.square(self.slab_scale)
        return (1 - self.inclusion) * spike + self.inclusion * slab
