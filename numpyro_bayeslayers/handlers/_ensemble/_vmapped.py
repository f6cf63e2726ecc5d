"""All members of a distribution whose class cannot be constructed with an additional axis."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax, random
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints

from ..._typing import PRNGKey
from ._axis import MemberAxis


def place_support(
    support: constraints.Constraint, axis: MemberAxis
) -> constraints.Constraint:
    """A support whose bounds have a leading member axis, with that axis in place."""
    if isinstance(support, constraints.independent):
        ndim = support.reinterpreted_batch_ndims
        base = place_support(support.base_constraint, axis.deeper(ndim))
        return constraints.independent(base, ndim)
    return jax.tree.map(lambda x: axis.insert(x, 0) if jnp.ndim(x) else x, support)


class VmappedDistribution(dist.Distribution):
    """All members of any distribution, with each method mapped over a leading axis.

    Args:
        base: A distribution with the static shapes of one member whose arrays have a
            leading member axis (or one of size 1, which is copied for each member).
        axis: Where the members stand in the batch shape.

    Example:
        >>> walks = jax.vmap(lambda s: dist.GaussianRandomWalk(s, num_steps=9))(jnp.ones(4))
        >>> VmappedDistribution(walks, MemberAxis(size=4, nesting=1)).batch_shape
        (4, 1)
    """

    arg_constraints = {}
    pytree_data_fields = ("base",)
    pytree_aux_fields = ("axis",)

    def __init__(
        self,
        base: dist.Distribution,
        axis: MemberAxis,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.base = jax.tree.map(axis.spread, base)
        self.axis = axis
        batch_shape = axis.batch_shape(base.batch_shape)
        super().__init__(batch_shape, base.event_shape, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:
        """See `numpyro.distributions.Distribution`."""
        return self.base.has_rsample

    @property
    def has_enumerate_support(self) -> bool:
        """See `numpyro.distributions.Distribution`."""
        return self.base.has_enumerate_support

    @property
    def support(self) -> constraints.Constraint:
        """See `numpyro.distributions.Distribution`."""
        return place_support(eqx.filter_vmap(lambda d: d.support)(self.base), self.axis)

    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """See `numpyro.distributions.Distribution`."""
        keys = random.split(key, self.axis.size)
        draws = jax.vmap(lambda d, k: d.sample(k, sample_shape))(self.base, keys)
        return self._plated(draws, sample_shape)

    def rsample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """See `numpyro.distributions.Distribution`."""
        return self.sample(key, sample_shape)

    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        """See `numpyro.distributions.Distribution`."""
        return self._map(lambda d, v: d.log_prob(v), value, self.event_dim)

    def cdf(self, value: ArrayLike) -> Array:
        """See `numpyro.distributions.Distribution`."""
        return self._map(lambda d, v: d.cdf(v), value, 0)

    def icdf(self, q: ArrayLike) -> Array:
        """See `numpyro.distributions.Distribution`."""
        return self._map(lambda d, v: d.icdf(v), q, 0)

    @property
    def mean(self) -> Array:
        """See `numpyro.distributions.Distribution`."""
        return self._plated(jax.vmap(lambda d: jnp.asarray(d.mean))(self.base))

    @property
    def variance(self) -> Array:
        """See `numpyro.distributions.Distribution`."""
        return self._plated(jax.vmap(lambda d: jnp.asarray(d.variance))(self.base))

    def enumerate_support(self, expand: bool = True) -> Array:
        """See `numpyro.distributions.Distribution`."""
        first = jax.tree.map(lambda x: x[0], self.base)
        values = jnp.asarray(first.enumerate_support(expand=False))
        lead, ones = values.shape[:1], (1,) * len(self.batch_shape)
        values = values.reshape(lead + ones + self.event_shape)
        return jnp.broadcast_to(values, lead + self.shape()) if expand else values

    def _plated(self, x: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Convert (members, *sample_shape, *batch, *event) to the shape of a plated value."""
        room = (1,) * (self.axis.nesting - len(self.base.batch_shape))
        cut = 1 + len(sample_shape)
        x = x.reshape(x.shape[:cut] + room + x.shape[cut:])
        return self.axis.insert(x, self.event_dim)

    def _map(
        self,
        fn: Callable[[dist.Distribution, Array], Array],
        value: ArrayLike,
        event_dim: int,
    ) -> Array:
        """Map a function of one member and its value over the batch axes."""
        value = jnp.asarray(value)
        value_batch = value.shape[: value.ndim - event_dim]
        values = self.axis.pull(value, event_dim, len(self.base.batch_shape))
        out = self.axis.insert(self.axis.vmap(fn)(self.base, values), 0)
        return jnp.broadcast_to(out, lax.broadcast_shapes(value_batch, self.batch_shape))
