"""The horseshoe distribution."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax, random
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from .._promotion import promoting
from .._typing import PRNGKey
from ._arguments import as_float


class Horseshoe(dist.Distribution):
    r"""The horseshoe prior, with its local scale integrated out.

    $$x \mid \lambda \sim N(0, \lambda^2 s^2), \quad \lambda \sim \mathcal{C}^+(0, 1),
    \qquad
    p(x) = \frac{e^z E_1(z)}{s \sqrt{2 \pi^3}}, \quad z = \frac{x^2}{2 s^2}$$

    with the exponential integral $E_1$. The density has a logarithmic pole at zero, which
    shrinks small coefficients, and tails like $x^{-2}$, which leave large coefficients almost
    unshrunk.

    The log density is accurate to 1e-13 (1e-6 in single precision) from the smallest to the
    largest number of its type. At zero, where it is infinite, the value at the smallest normal
    number is returned, with gradient zero. Mean and variance do not exist.

    Args:
        scale: The global scale $s$, positive, in the units of $x$.
        validate_args: As in NumPyro's distributions.

    Raises:
        ValueError: If `scale` is not positive.

    Example:
        >>> prior = Horseshoe(0.1)
        >>> [round(float(prior.log_prob(x)), 2) for x in (0.001, 0.1, 10.0)]
        [2.47, 0.16, -8.28]

    References:
        Carvalho, Polson, Scott (2010), "The horseshoe estimator for sparse signals",
        Biometrika 97, section 2.1 and the proof of theorem 1.

    Note:
        This density works with variational inference, but not with NUTS, whose steps shrink at
        the pole (with five coefficients, 2,000 draws had an effective sample size below 25).
        For NUTS, draw the local scales as sites, ``HalfCauchy(1)``, and multiply them by
        ``Normal(0, 1)`` and the global scale: this is the same prior without a pole.
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["scale"]

    def __init__(self, scale: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.scale = as_float("scale", scale)
        super().__init__(self.scale.shape, (), validate_args=validate_args)

    @promoting()
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # as NumPyro's own
        key_normal, key_local = random.split(key)
        shape, dtype = tuple(sample_shape) + self.batch_shape, self.scale.dtype
        local = jnp.abs(random.cauchy(key_local, shape, dtype))
        return random.normal(key_normal, shape, dtype) * local * self.scale

    @promoting()
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        return horseshoe_log_prob(value, self.scale)

    @property
    def mean(self) -> Array:
        return jnp.full_like(self.scale, jnp.nan)

    @property
    def variance(self) -> Array:
        return jnp.full_like(self.scale, jnp.nan)


def horseshoe_log_prob(value: ArrayLike, scale: ArrayLike) -> Array:
    """The log density of the horseshoe."""
    size = jnp.abs(value)
    log_size = jnp.log(jnp.maximum(size, jnp.finfo(size.dtype).tiny))
    log_scale = jnp.log(scale)
    constant = 0.5 * math.log(2 * math.pi**3)
    return _log_scaled_e1(log_size - log_scale) - log_scale - constant


# The boundary between the series and the continued fraction, and the number of terms that each
# needs there for full double and single precision.
_BORDER = 1.5
_NUM_TERMS = {8: (20, 48), 4: (12, 12)}


@jax.custom_jvp
def _log_scaled_e1(t: Array) -> Array:
    r"""$\log(e^z E_1(z))$ at $z = e^{2t} / 2$; `t` avoids over- and underflow at both ends."""
    z, log_z = _z(t)
    small = z < _BORDER
    series = _series(jnp.where(small, z, 1.0))
    near = z + jnp.log(jnp.where(small, series - log_z, 1.0))
    far = -log_z - jnp.log1p(_fraction(jnp.where(small, _BORDER, z)) / z)
    return jnp.where(small, near, far)


@_log_scaled_e1.defjvp
def _log_scaled_e1_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (t,), (dt,) = primals, tangents
    return _log_scaled_e1(t), -2 * _remainder(t) * dt


@jax.custom_jvp
def _remainder(t: Array) -> Array:
    r"""$c(z) = 1 / (e^z E_1(z)) - z$, which increases from 0 at zero to 1 at infinity.

    The derivatives are computed from it, since $d \log(e^z E_1) / dz = -c / z$ and
    $dc/dz = c - 1 + c^2/z$.
    """
    z, log_z = _z(t)
    small = z < _BORDER
    safe = jnp.where(small, z, 1.0)
    near = jnp.exp(-safe) / jnp.where(small, _series(safe) - log_z, 1.0) - safe
    return jnp.where(small, near, _fraction(jnp.where(small, _BORDER, z)))


@_remainder.defjvp
def _remainder_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (t,), (dt,) = primals, tangents
    c, (z, _) = _remainder(t), _z(t)
    far = z > jnp.finfo(z.dtype).eps ** (-1 / 3)
    safe = jnp.where(far, 1.0, z)
    near_slope = safe * (c - 1) + jnp.square(c)  # its terms cancel for large z
    large = jnp.where(far, z, 1.0)
    far_slope = (1 - 6 / large) / large  # from c = 1 - 1/z + 3/z^2 - ...
    return c, 2 * jnp.where(far, far_slope, near_slope) * dt


def _z(t: Array) -> tuple[Array, Array]:
    log_z = 2 * t - math.log(2.0)
    return jnp.exp(log_z), log_z


def _series(z: Array) -> Array:
    r"""$E_1(z) + \log z = -\gamma - \sum_{k \ge 1} (-z)^k / (k\, k!)$ for small `z`."""
    num_terms, _ = _NUM_TERMS[z.dtype.itemsize]
    k = np.arange(num_terms, 0, -1)
    coefficients = -((-1.0) ** k) / (k * np.cumprod(k[::-1], dtype=float)[::-1])
    return jnp.polyval(jnp.append(coefficients, -np.euler_gamma).astype(z.dtype), z)


def _fraction(z: Array) -> Array:
    r"""`_remainder` by the continued fraction $c = 1 - 1/(z+3 - 4/(z+5 - 9/(z+7 - ...)))$."""
    _, num_terms = _NUM_TERMS[z.dtype.itemsize]

    def step(i: Array, tail: Array) -> Array:
        k = (num_terms - i).astype(z.dtype)
        return jnp.square(k) / (z + 2 * k + 1 - tail)

    return 1 - lax.fori_loop(0, num_terms, step, jnp.zeros_like(z))
