"""A matrix whose columns are independent draws from one distribution."""

import copy
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.batch_util import promote_batch_shape
from numpyro.distributions.util import validate_sample

from .. import _checks
from .._promotion import promoting
from .._typing import PRNGKey


class IndependentColumns(dist.Distribution):
    r"""The distribution of a matrix whose columns are independent draws from `base`.

    $$p(W) = \prod_{m=1}^n p_{base}(w_{\cdot m}), \qquad W \in \mathbb{R}^{d \times n}$$

    It serves as the prior of a matrix of frequencies, with one vector in each column;
    `to_event` would put the vectors in rows. The batch shape is that of `base`.

    Args:
        base: The distribution of one column: event shape (d,), with the same support for each
            entry.
        n: The number of columns.
        validate_args: As in NumPyro's distributions.

    Raises:
        TypeError: If `base` is not a distribution, or `n` is not an integer.
        ValueError: If the event of `base` is not a vector, if its entries are constrained
            jointly (a simplex) or have different supports, or if `n` is not positive.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> base = dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
        >>> columns = IndependentColumns(base, 5)
        >>> columns.batch_shape, columns.event_shape
        ((), (2, 5))
    """

    arg_constraints = {}
    pytree_data_fields = ("base_dist",)
    pytree_aux_fields = ("num_columns",)

    def __init__(
        self, base: dist.Distribution, n: int, *, validate_args: bool | None = None
    ) -> None:
        what = "a numpyro.distributions.Distribution"
        _checks.instance("base", base, dist.Distribution, what)
        n = _checks.size("n", n)
        kind = type(base).__name__
        if base.event_dim != 1:
            raise ValueError(
                f"`base` must have events of shape (d,), got {kind} of event shape "
                f"{base.event_shape}. Scalars become vectors by `.expand([d]).to_event(1)`."
            )
        support = base.support
        is_entrywise = isinstance(support, constraints.independent)
        if not is_entrywise or any(map(jnp.ndim, jax.tree.leaves(support))):
            raise ValueError(
                "`base` must have the same support for each entry, got "
                f"{kind} on {support}. Put its draws into rows by `.expand([n]).to_event(1)`."
            )
        self.base_dist = base
        self.num_columns = n
        super().__init__(
            base.batch_shape, base.event_shape + (n,), validate_args=validate_args
        )

    @property
    def support(self) -> constraints.Constraint:
        of_column: Any = self.base_dist.support
        return constraints.independent(of_column.base_constraint, 2)

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @promoting()
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        columns = self.base_dist.sample(key, (self.num_columns,) + sample_shape)
        return jnp.moveaxis(jnp.asarray(columns), 0, -1)

    @promoting()
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        columns = jnp.moveaxis(jnp.asarray(value), -1, 0)
        rank = len(self.batch_shape) + self.base_dist.event_dim
        ones = (1,) * (rank - columns.ndim + 1)
        columns = columns.reshape(columns.shape[:1] + ones + columns.shape[1:])
        return jnp.sum(jnp.asarray(self.base_dist.log_prob(columns)), axis=0)

    @property
    def mean(self) -> Array:
        return self._each_column(self.base_dist.mean)

    @property
    def variance(self) -> Array:
        return self._each_column(self.base_dist.variance)

    def _each_column(self, moment: Array) -> Array:
        shape = self.batch_shape + self.event_shape
        return jnp.broadcast_to(jnp.expand_dims(moment, -1), shape)

    def expand(self, batch_shape: Sequence[int]) -> "IndependentColumns":
        """The same distribution with more batch axes, each cell drawn independently."""
        base = self.base_dist.expand(batch_shape)
        return IndependentColumns(base, self.num_columns, validate_args=self._validate_args)


@promote_batch_shape.register(IndependentColumns)
def _promote_batch_shape(d: IndependentColumns) -> IndependentColumns:
    promoted = copy.copy(d)
    promoted.base_dist = promote_batch_shape(d.base_dist)
    promoted._batch_shape = promoted.base_dist.batch_shape
    return promoted
