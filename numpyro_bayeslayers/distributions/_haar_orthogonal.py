"""The uniform distribution on rotations and reflections."""

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from .. import _checks
from .._promotion import promoting
from .._typing import PRNGKey


class _Orthogonal(constraints.ParameterFreeConstraint):
    """Square matrices with orthonormal columns, up to rounding errors."""

    event_dim = 2
    tolerance = 20.0  # of an entry of Q'Q, in units of the rounding of a sum over a column

    def __call__(self, x: ArrayLike) -> Array:
        x = jnp.asarray(x)
        dim = x.shape[-1]
        error = jnp.abs(jnp.swapaxes(x, -1, -2) @ x - jnp.eye(dim, dtype=x.dtype))
        # NaN is not below the limit.
        return jnp.max(error, axis=(-1, -2)) < self.tolerance * dim * jnp.finfo(x.dtype).eps

    def feasible_like(self, prototype: ArrayLike) -> Array:
        eye = jnp.eye(jnp.shape(prototype)[-1], dtype=jnp.result_type(prototype))
        return jnp.broadcast_to(eye, jnp.shape(prototype))


class HaarOrthogonal(dist.Distribution):
    r"""The uniform distribution on orthogonal matrices: $Q \overset{d}{=} UQ \overset{d}{=} QV$.

    The distribution is invariant under rotations and reflections $U$, $V$. Draws are the
    orthogonal factors of normal matrices, with column signs chosen so that the diagonal of the
    triangular factor is positive; without this choice they would not be uniform.

    The log density is with respect to the Haar probability measure, so it is 0 at every
    orthogonal matrix: orthogonal matrices have no volume in the space of their entries. There
    is no transform from unconstrained space, so gradient-based samplers and autoguides do not
    update it.

    Args:
        dim: The number of rows and columns.
        validate_args: As in NumPyro's distributions.

    Raises:
        TypeError: If `dim` is not an integer.
        ValueError: If `dim` is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> q = HaarOrthogonal(3).sample(jax.random.key(0))
        >>> bool(jnp.allclose(q.T @ q, jnp.eye(3), atol=1e-5))
        True

    References:
        Mezzadri (2007), "How to generate random matrices from the classical compact
        groups", Notices of the AMS 54, section 5.
    """

    arg_constraints = {}
    pytree_aux_fields = ("dim",)
    support = _Orthogonal()

    def __init__(self, dim: int, *, validate_args: bool | None = None) -> None:
        self.dim = dim = _checks.size("dim", dim)
        super().__init__((), (dim, dim), validate_args=validate_args)

    @promoting()
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # as in NumPyro's distributions
        return random.orthogonal(key, self.dim, tuple(sample_shape))

    @promoting()
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value = jnp.asarray(value)
        return jnp.zeros(value.shape[:-2], value.dtype)

    @property
    def mean(self) -> Array:
        return jnp.zeros(self.event_shape)

    @property
    def variance(self) -> Array:
        return jnp.full(self.event_shape, 1 / self.dim)
