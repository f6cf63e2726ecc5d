"""Distributions of frequencies: one for each stationary kernel."""

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jax.scipy.special import gammaln
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from .. import _checks
from .._promotion import promoting
from .._typing import PRNGKey
from ._arguments import as_float, with_rank


class AbstractSpectralDensity(dist.Distribution):
    r"""The distribution of a frequency vector $w = z / \ell$, with $z$ of unit scale.

    Args:
        lengthscale: Lengthscales $\ell$, positive, in the units of the inputs: a number, or
            an array whose last axis has one entry for each coordinate or a single one for
            all, (*batch, dim) or (*batch, 1).
        dim: The number of coordinates.
        batch_shape: The batch shape of the other parameters.
        validate_args: As in every distribution of NumPyro.
    """

    arg_constraints = {"lengthscale": constraints.independent(constraints.positive, 1)}
    pytree_aux_fields = ("dim",)
    support = constraints.real_vector
    reparametrized_params = ["lengthscale"]

    def __init__(
        self,
        lengthscale: ArrayLike,
        dim: int,
        batch_shape: tuple[int, ...] = (),
        *,
        validate_args: bool | None = None,
    ) -> None:
        dim = _checks.size("dim", dim)
        lengthscale = as_float("lengthscale", lengthscale)
        lengthscale = with_rank(lengthscale, max(1, lengthscale.ndim))
        if lengthscale.shape[-1] not in (1, dim):
            raise ValueError(
                f"The last axis of `lengthscale` must have `dim`={dim} entries, one for "
                f"each coordinate, or one for all, got shape {lengthscale.shape}. For a "
                "batch of lengthscales give `lengthscale[..., None]`."
            )
        batch_shape = jnp.broadcast_shapes(batch_shape, lengthscale.shape[:-1])
        self.lengthscale = with_rank(lengthscale, len(batch_shape) + 1)
        self.dim = dim
        super().__init__(batch_shape, (dim,), validate_args=validate_args)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """Draws at unit lengthscale."""
        raise NotImplementedError

    def _log_prob(self, square: Array) -> Array:
        """The log density at unit lengthscale, of vectors of squared length `square`."""
        raise NotImplementedError

    @promoting()
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # as NumPyro's own
        shape = tuple(sample_shape) + self.batch_shape + self.event_shape
        return self._sample(key, shape, self.lengthscale.dtype) / self.lengthscale

    @promoting()
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        square = jnp.sum(jnp.square(value * self.lengthscale), axis=-1)
        copies = self.dim // self.lengthscale.shape[-1]
        log_volume = copies * jnp.sum(jnp.log(self.lengthscale), axis=-1)
        return self._log_prob(square) + log_volume

    def _each_coordinate(self, moment: ArrayLike) -> Array:
        return jnp.broadcast_to(moment, self.batch_shape + self.event_shape)


class RBFSpectralDensity(AbstractSpectralDensity):
    r"""Frequencies of the squared-exponential kernel: $w \sim N(0, \ell^{-2})$.

    $$\mathbb{E}\big[\cos(w^\top (x - x'))\big]
    = \exp\Big({-\tfrac12} \sum_d (x_d - x'_d)^2 / \ell_d^2\Big)$$

    Args:
        lengthscale: Lengthscales $\ell$, positive, in the units of the inputs: a number, or
            an array whose last axis has one entry for each coordinate or a single one for
            all, (*batch, dim) or (*batch, 1).
        dim: The number of coordinates of $w$.
        validate_args: As in every distribution of NumPyro.

    Raises:
        ValueError: If the last axis of `lengthscale` has neither `dim` entries nor one, or
            if an argument is out of its range.

    Example:
        >>> import jax
        >>> frequencies = RBFSpectralDensity(0.5, 3).sample(jax.random.key(0), (100,))
        >>> frequencies.shape
        (100, 3)

    References:
        Rahimi and Recht (2007), "Random features for large-scale kernel machines", NeurIPS,
        figure 1.
    """

    def __init__(
        self, lengthscale: ArrayLike, dim: int, *, validate_args: bool | None = None
    ) -> None:
        super().__init__(lengthscale, dim, validate_args=validate_args)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return random.normal(key, shape, dtype)

    def _log_prob(self, square: Array) -> Array:
        return -0.5 * (square + self.dim * jnp.log(2 * jnp.pi))

    @property
    def mean(self) -> Array:
        return self._each_coordinate(jnp.zeros_like(self.lengthscale))

    @property
    def variance(self) -> Array:
        return self._each_coordinate(jnp.square(1 / self.lengthscale))


class MaternSpectralDensity(AbstractSpectralDensity):
    r"""Frequencies of the Matérn kernel: a multivariate Student t with $2\nu$ degrees of freedom.

    $$w = \frac{z}{\ell} \sqrt{\frac{2\nu}{g}}, \qquad z \sim N(0, I), \quad
    g \sim \chi^2_{2\nu},$$

    with one $g$ for the whole vector. With $s = \sqrt{2\nu}\, \|(x - x') / \ell\|$,

    $$\mathbb{E}\big[\cos(w^\top (x - x'))\big]
    = \frac{2^{1 - \nu}}{\Gamma(\nu)}\, s^\nu K_\nu(s).$$

    Args:
        nu: The smoothness $\nu$, positive: 0.5, 1.5, 2.5 or any other; batch shape.
        lengthscale: Lengthscales $\ell$, positive, in the units of the inputs: a number, or
            an array whose last axis has one entry for each coordinate or a single one for
            all, (*batch, dim) or (*batch, 1).
        dim: The number of coordinates of $w$.
        validate_args: As in every distribution of NumPyro.

    Raises:
        ValueError: If the last axis of `lengthscale` has neither `dim` entries nor one, or
            if an argument is out of its range.

    Example:
        >>> import jax
        >>> frequencies = MaternSpectralDensity(1.5, 0.5, 3).sample(jax.random.key(0), (100,))
        >>> frequencies.shape
        (100, 3)

    References:
        Rasmussen and Williams (2006), "Gaussian processes for machine learning", equation
        4.15.

    Note:
        Coordinates are uncorrelated but not independent: a product of one-dimensional
        Student t distributions corresponds to a different kernel.
    """

    arg_constraints = {"nu": constraints.positive} | AbstractSpectralDensity.arg_constraints
    reparametrized_params = ["nu", "lengthscale"]

    def __init__(
        self,
        nu: ArrayLike,
        lengthscale: ArrayLike,
        dim: int,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.nu = as_float("nu", nu)
        super().__init__(lengthscale, dim, self.nu.shape, validate_args=validate_args)
        self.nu = with_rank(self.nu, len(self.batch_shape))

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        key_normal, key_gamma = random.split(key)
        # Half a chi-square variable; its logarithm does not underflow for small nu.
        log_gamma = random.loggamma(key_gamma, self.nu, shape[:-1], self.nu.dtype)
        stretch = jnp.sqrt(self.nu) * jnp.exp(-0.5 * log_gamma)
        return random.normal(key_normal, shape, dtype) * stretch[..., None]

    def _log_prob(self, square: Array) -> Array:
        df, half = 2 * self.nu, 0.5 * self.dim
        log_volume = (
            gammaln(self.nu) - gammaln(self.nu + half) + half * jnp.log(df * jnp.pi)
        )
        return -(self.nu + half) * jnp.log1p(square / df) - log_volume

    @property
    def mean(self) -> Array:
        """Zero; undefined (NaN) up to a smoothness of one half."""
        exists = self.nu[..., None] > 0.5
        return self._each_coordinate(
            jnp.where(exists, jnp.zeros_like(self.lengthscale), jnp.nan)
        )

    @property
    def variance(self) -> Array:
        """Infinite up to a smoothness of one, undefined (NaN) up to one half."""
        nu = self.nu[..., None]
        variance = nu / (nu - 1) / jnp.square(self.lengthscale)
        variance = jnp.where(nu > 1, variance, jnp.where(nu > 0.5, jnp.inf, jnp.nan))
        return self._each_coordinate(variance)


class LaplaceSpectralDensity(MaternSpectralDensity):
    r"""Frequencies of the exponential kernel: a multivariate Cauchy.

    $$\mathbb{E}\big[\cos(w^\top (x - x'))\big] = \exp(-\|(x - x') / \ell\|)$$

    It is the Matérn case $\nu = 1/2$.

    Args:
        lengthscale: Lengthscales $\ell$, positive, in the units of the inputs: a number, or
            an array whose last axis has one entry for each coordinate or a single one for
            all, (*batch, dim) or (*batch, 1).
        dim: The number of coordinates of $w$.
        validate_args: As in every distribution of NumPyro.

    Raises:
        ValueError: If the last axis of `lengthscale` has neither `dim` entries nor one, or
            if an argument is out of its range.

    Example:
        >>> import jax
        >>> frequencies = LaplaceSpectralDensity(0.5, 2).sample(jax.random.key(0), (100,))
        >>> frequencies.shape
        (100, 2)

    References:
        Rasmussen and Williams (2006), "Gaussian processes for machine learning", equation
        4.15.

    Note:
        The kernel depends on the Euclidean distance. It differs from the product of
        one-dimensional Laplace kernels, whose frequencies are independent Cauchy variables.
    """

    arg_constraints = AbstractSpectralDensity.arg_constraints
    reparametrized_params = ["lengthscale"]

    def __init__(
        self, lengthscale: ArrayLike, dim: int, *, validate_args: bool | None = None
    ) -> None:
        nu = jnp.full((), 0.5, as_float("lengthscale", lengthscale).dtype)
        super().__init__(nu, lengthscale, dim, validate_args=validate_args)
