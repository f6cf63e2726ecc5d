"""Stationary kernels, defined by their spectral densities, for Hilbert-space features."""

import abc
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Num
from scipy.special import stdtr, stdtrit

from ... import _checks
from ..._base import AbstractLayer, AbstractVar
from ..._settings import setting
from ...basis import laplacian_eigenfunctions, laplacian_frequencies
from ...primitives import sample, when_known

# The number of basis functions and the half-width of the box for each input.
Basis: TypeAlias = tuple[Sequence[int], Sequence[float]]
# Fixed (a number, or one for each input), a prior, or None for the default prior.
Hyperparameter: TypeAlias = float | tuple[float, ...] | dist.Distribution | None


# A warning is issued if the basis represents less than this share of the fitted variance.
_LEAST_SHARE = 0.95
# The share at the shortest plausible lengthscale, which the prior exceeds with this
# probability.
_SHARE_AT_SHORTEST = 0.999
_SHORTEST = 1e-4


def checked_hyperparameter(name: str, value: Any) -> Any:
    """Check for a positive number (or several, as a tuple), a distribution, or None."""
    if value is None or isinstance(value, dist.Distribution):
        return value
    return _checks.each(_checks.positive)(name, value)


def check_rank(name: str, value: Hyperparameter, max_rank: int) -> None:
    """Check that a prior is a single distribution, without batch axes."""
    if isinstance(value, dist.Distribution) and (
        value.batch_shape or len(value.event_shape) > max_rank
    ):
        raise ValueError(
            f"The prior of `{name}` must have no batch shape and at most {max_rank} event "
            f"axes, got batch {value.batch_shape} and event {value.event_shape}. Use "
            "`.to_event(1)` for one value for each input."
        )


def hyperparameter(name: str, value: Hyperparameter, rank: int) -> Array:
    """The value: fixed, or drawn from its prior, by default LogNormal(0, 1)."""
    value = _or_default(value)
    if isinstance(value, dist.Distribution):
        return sample(name, jax.tree.map(lax.stop_gradient, value), rank)
    return jnp.asarray(value, jnp.result_type(float))


def _or_default(value: Hyperparameter) -> Any:
    return dist.LogNormal(0.0, 1.0) if value is None else value


def _shortest(value: Hyperparameter) -> float:
    """Lower bound of the value, which the prior exceeds with probability 0.9999."""
    value = _or_default(value)
    if not isinstance(value, dist.Distribution):
        return float(np.min(value))
    try:
        with jax.ensure_compile_time_eval():
            try:
                found = np.asarray(value.icdf(jnp.full(value.shape(), _SHORTEST)))
            except (NotImplementedError, ImportError, AttributeError):
                draws = value.sample(jax.random.key(0), (round(1 / _SHORTEST),))
                found = np.asarray(draws).min(axis=0)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return 0.0  # a prior with random parameters
    return float(found.min())


class AbstractKernel(AbstractLayer):
    """A covariance function, given by a basis and the standard deviations of its coefficients.

    Called on frequencies (k, D) inside a model, it draws its hyperparameters and returns the k
    standard deviations; `_basis` returns the matching functions. If it receives the sizes and
    half-widths of the basis, it warns after a fit that does not resolve the lengthscale.
    """

    lengthscale: AbstractVar[Hyperparameter]

    @abc.abstractmethod
    def _frequencies(
        self, num_basis_per_dim: Sequence[int], L: Sequence[float]
    ) -> np.ndarray:
        """The frequency of each basis function, (num_basis, D)."""

    @abc.abstractmethod
    def _basis(
        self, x: Array, num_basis_per_dim: Sequence[int], L: Sequence[float]
    ) -> Array:
        """The basis functions at rows (..., n, D), (..., n, num_basis)."""

    @abc.abstractmethod
    def _resolving(self, step: float, L: float) -> int:
        """Number of basis functions that resolve points a distance `step` apart."""

    @abc.abstractmethod
    def _share(self, lengthscale: float, num_basis: int, L: float) -> float:
        """Share of the variance along one input that the basis functions represent."""

    @abc.abstractmethod
    def _needed(self, lengthscale: float, L: float, share: float = 0.99) -> int:
        """Number of basis functions that represent this share."""

    def _size(self, step: float, L: float) -> int:
        """Number that is enough for points `step` apart, at every lengthscale the prior allows."""
        shortest, enough = _shortest(self.lengthscale), self._resolving(step, L)
        if not shortest > 0:
            return enough
        return min(enough, self._needed(shortest, L, _SHARE_AT_SHORTEST))

    def _look(self, lengthscale: Array, basis: Basis | None) -> None:
        if basis is not None:
            check = partial(_warn_unresolved, kernel=self, basis=basis)
            when_known(lengthscale, check, is_fitted=True)


class AbstractStationaryKernel(AbstractKernel):
    """A kernel with a spectral density in closed form, on the Laplacian's eigenfunctions."""

    variance: AbstractVar[Hyperparameter]
    lengthscale: AbstractVar[Hyperparameter]

    def __check_init__(self) -> None:
        check_rank("variance", self.variance, 0)
        check_rank("lengthscale", self.lengthscale, 1)

    @property
    @abc.abstractmethod
    def _degrees(self) -> float:
        """Degrees of freedom of the frequencies' distribution, infinite for the normal."""

    @abc.abstractmethod
    def _log_density(self, squares: Array, dim: int) -> Array:
        """Log spectral density at unit variance and lengthscale, of squared frequencies."""

    def _forward(
        self, frequencies: Num[ArrayLike, "*batch d"], basis: Basis | None = None
    ) -> Float[Array, "*rest"]:
        found = _checks.array("frequencies", frequencies)
        omega = jnp.asarray(found, jnp.result_type(float))
        dim = omega.shape[-1]
        variance = hyperparameter("variance", self.variance, rank=1)
        lengthscale = hyperparameter("lengthscale", self.lengthscale, rank=2)
        if lengthscale.ndim and lengthscale.shape[-1] not in (1, dim):
            raise ValueError(
                f"`lengthscale` must be one number or one for each of the {dim} inputs (the last "
                f"axis of `frequencies`, of shape {omega.shape}), got shape "
                f"{lengthscale.shape[-1:]}."
            )
        self._look(lengthscale, basis)
        scales = jnp.broadcast_to(lengthscale, lengthscale.shape[:-1] + (dim,))
        log_density = self._log_density(jnp.sum(jnp.square(omega * scales), -1), dim)
        # If the density underflows, its square root has gradient NaN; the exp of half its log
        # has not.
        log_density += jnp.log(variance) + jnp.sum(jnp.log(scales), -1)
        return jnp.exp(0.5 * log_density)

    def _frequencies(
        self, num_basis_per_dim: Sequence[int], L: Sequence[float]
    ) -> np.ndarray:
        return laplacian_frequencies(num_basis_per_dim, L)

    def _basis(
        self, x: Array, num_basis_per_dim: Sequence[int], L: Sequence[float]
    ) -> Array:
        when_known(x, partial(_warn_outside, L=np.asarray(L)))
        return laplacian_eigenfunctions(x, num_basis_per_dim, L)

    def _resolving(self, step: float, L: float) -> int:
        return math.ceil(2 * L / step)

    # Along one input, the frequencies times the lengthscale have a Student t distribution.
    def _share(self, lengthscale: float, num_basis: int, L: float) -> float:
        last = lengthscale * num_basis * math.pi / (2 * L)
        return float(2 * stdtr(self._degrees, last) - 1)

    def _needed(self, lengthscale: float, L: float, share: float = 0.99) -> int:
        last = float(stdtrit(self._degrees, 0.5 + 0.5 * share))
        return math.ceil(last * 2 * L / (math.pi * lengthscale))


def _warn_outside(x: np.ndarray, of: str, L: np.ndarray) -> None:
    """Warn if rows lie outside the box, where the basis functions are meaningless."""
    size = np.abs(x).reshape(-1, len(L))
    is_outside = (size > L).any(axis=1)
    if is_outside.any():
        _checks.warn(
            f"`x` leaves the box of `L`={tuple(L.tolist())}{of}: {int(is_outside.sum())} of "
            f"{len(size)} rows lie outside, the first is row {int(is_outside.argmax())}, and "
            f"the largest absolute values are {tuple(size.max(0).round(3).tolist())}. There "
            "the basis functions are mirror images. Center the inputs and choose `L` as 1.2 "
            "to 1.5 times their largest absolute value.",
        )


def _warn_unresolved(
    lengthscale: np.ndarray, of: str, kernel: AbstractKernel, basis: Basis
) -> None:
    """Warn if the basis functions are too coarse for the lengthscale of a process."""
    sizes, sides = basis
    scales = lengthscale.reshape(-1, lengthscale.shape[-1] if lengthscale.ndim else 1)
    scales = np.broadcast_to(np.median(scales, axis=0), len(sizes)).tolist()
    found = list(zip(scales, sizes, sides, strict=True))
    share = min(kernel._share(*one) for one in found)
    if share < _LEAST_SHARE:
        needed = [max(m, kernel._needed(ell, half)) for ell, m, half in found]
        _checks.warn(
            f"The basis{of} is too coarse for the fit: at the inferred lengthscale, "
            f"{_numbers(scales)}, its {_numbers(sizes)} functions carry {share:.0%} of the "
            "variance, and the rest is smoothed away or absorbed by the noise. Make the layer with "
            f"at least {_numbers(needed)} (`num_basis`, or `num_basis_per_dim`).",
        )


def _numbers(values: Iterable[float | int]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


class RBFKernel(AbstractStationaryKernel):
    r"""The squared exponential kernel, defined by its spectral density.

    $$k(r) = \sigma^2 \exp(-r^2 / 2\ell^2), \qquad
    S(\omega) = \sigma^2 (2\pi)^{D/2} \ell^D \exp(-\ell^2 |\omega|^2 / 2)$$

    Args:
        variance: $\sigma^2$: a positive number (fixed), a distribution (its prior), or None for
            the prior LogNormal(0, 1).
        lengthscale: $\ell$, in the units of the input: a number, a distribution or None, as for
            `variance`; several numbers, or a prior of event shape (in,), give one for each
            input.
        name: Prefix of the sites inside the layer that holds the kernel; the default is
            ``"kernel"``.

    Sites:
        ``variance`` of event shape (), ``lengthscale`` of event shape () or (in,), unless
        they are fixed.

    Raises:
        ValueError: If a fixed value is not positive, if a prior has batch axes, or if there
            are not as many lengthscales as inputs.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro.handlers import seed
        >>> kernel = RBFKernel(variance=1.0, lengthscale=dist.InverseGamma(3.0, 1.0))
        >>> seed(kernel, 0)(jnp.array([[0.0], [1.0]])).shape
        (2,)

    References:
        Rasmussen and Williams (2006), "Gaussian processes for machine learning", section
        4.2.1.
    """

    variance: Hyperparameter = setting(
        check=checked_hyperparameter, default=None, static=False
    )
    lengthscale: Hyperparameter = setting(
        check=checked_hyperparameter, default=None, static=False
    )
    name: str | None = setting(check=_checks.optional_label, default=None)

    @property
    def _degrees(self) -> float:
        return math.inf

    def _log_density(self, squares: Array, dim: int) -> Array:
        return 0.5 * dim * math.log(2 * math.pi) - 0.5 * squares


class MaternKernel(AbstractStationaryKernel):
    r"""The Matern kernels of half-integer smoothness, defined by their spectral density.

    $$S(\omega) = \sigma^2 \ell^D \frac{2^D \pi^{D/2} \Gamma(\nu + D/2) (2\nu)^\nu}{\Gamma(\nu)}
    \big(2\nu + \ell^2 |\omega|^2\big)^{-(\nu + D/2)}$$

    Args:
        variance: $\sigma^2$: a positive number (fixed), a distribution (its prior), or None for
            the prior LogNormal(0, 1).
        lengthscale: $\ell$, in the units of the input: a number, a distribution or None, as for
            `variance`; several numbers, or a prior of event shape (in,), give one for each
            input.
        nu: Smoothness $\nu$: 1/2, 3/2 or 5/2.
        name: Prefix of the sites inside the layer that holds the kernel; the default is
            ``"kernel"``.

    Sites:
        ``variance`` of event shape (), ``lengthscale`` of event shape () or (in,), unless
        they are fixed.

    Raises:
        ValueError: If a fixed value is not positive, if a prior has batch axes, if there are
            not as many lengthscales as inputs, or if `nu` is not 1/2, 3/2 or 5/2.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(MaternKernel(nu=1.5), 0)(jnp.array([[0.0, 0.0], [1.0, 2.0]])).shape
        (2,)

    References:
        Rasmussen and Williams (2006), "Gaussian processes for machine learning", equation
        4.15.
    """

    variance: Hyperparameter = setting(
        check=checked_hyperparameter, default=None, static=False
    )
    lengthscale: Hyperparameter = setting(
        check=checked_hyperparameter, default=None, static=False
    )
    nu: float = setting(check=_checks.choice(0.5, 1.5, 2.5), default=2.5)
    name: str | None = setting(check=_checks.optional_label, default=None)

    @property
    def _degrees(self) -> float:
        return 2 * self.nu

    def _log_density(self, squares: Array, dim: int) -> Array:
        nu, half = self.nu, 0.5 * dim
        constant = dim * math.log(2) + half * math.log(math.pi) + nu * math.log(2 * nu)
        constant += math.lgamma(nu + half) - math.lgamma(nu)
        return constant - (nu + half) * jnp.log(2 * nu + squares)
