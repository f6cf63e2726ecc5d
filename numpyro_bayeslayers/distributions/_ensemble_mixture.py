"""The predictive distribution of an ensemble: a mixture over its members."""

import copy
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.batch_util import promote_batch_shape, vmap_over
from numpyro.distributions.util import validate_sample

from .. import _checks
from .._promotion import promoting
from .._typing import PRNGKey
from ._bisection import first_integer, first_number
from ._cdf import cdf_of


class EnsembleMixture(dist.Distribution):
    r"""The mixture of the members of an ensemble, with equal weights by default.

    $$p(y) = \sum_{e=1}^E w_e\, p_e(y), \qquad w_e = 1 / E$$

    The leftmost batch axis of `component_distribution` is the axis of the $E$ members; the
    other batch axes and the event axes are those of the mixture. By the law of total variance,
    the variance has two parts, `aleatoric` and `epistemic`:

    $$\mathrm{Var}[y] = \sum_e w_e \sigma_e^2 + \sum_e w_e (\mu_e - \bar\mu)^2$$

    `cdf` requires members that have one, and so does `icdf`: it finds the smallest
    floating-point number $y$ with $F(y) \ge q$ by bisection, and differentiates it implicitly
    from $F(y) = q$. Quantiles of counts are floating-point numbers, so that the quantile at 1
    may be infinite; they are exact up to $2^{24}$ in float32.

    Each draw computes a draw of every member.

    Args:
        component_distribution: The members' distributions, batch shape (e, *batch).
        weights: The weight of each member, at least 0, with sum 1; `infer.stack` estimates weights.
        validate_args: As in NumPyro's distributions.

    Raises:
        TypeError: If `component_distribution` is not a distribution, or `weights` are not numbers.
        ValueError: If it has no batch axis, or one of length zero; if `weights` does not have
            one entry for each member, has a negative entry, or does not sum to 1.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> members = dist.Normal(jnp.array([[0.0, 1.0], [2.0, 1.0]]), 1.0)
        >>> mixture = EnsembleMixture(members)
        >>> mixture.batch_shape, mixture.mean.tolist(), mixture.variance.tolist()
        ((2,), [1.0, 1.0], [2.0, 1.0])
        >>> mixture.aleatoric.tolist(), mixture.epistemic.tolist()
        ([1.0, 1.0], [1.0, 0.0])
        >>> mixture.icdf(0.5).round(3).tolist()
        [1.0, 1.0]

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive
        uncertainty estimation using deep ensembles", NeurIPS, section 2.4.
    """

    arg_constraints = {}
    pytree_data_fields = ("component_distribution", "weights")
    pytree_aux_fields = ("_member_dim", "has_enumerate_support")

    def __init__(
        self,
        component_distribution: dist.Distribution,
        *,
        weights: ArrayLike | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name = "component_distribution"
        what = "a numpyro.distributions.Distribution"
        _checks.instance(name, component_distribution, dist.Distribution, what)
        batch_shape = component_distribution.batch_shape
        if not batch_shape or batch_shape[0] < 1:
            kind = type(component_distribution).__name__
            raise ValueError(
                f"`{name}` must lead with a batch axis of at least one member, got "
                f"{kind} of batch shape {batch_shape}. Give its parameters a first axis, "
                "one entry for each member."
            )
        self.component_distribution = component_distribution
        # Counted from the right: `expand` and `vmap` add axes on the left.
        self._member_dim = -len(batch_shape)
        self.weights = None if weights is None else _checked(weights, batch_shape[0])
        self.has_enumerate_support = component_distribution.has_enumerate_support
        super().__init__(
            batch_shape[1:], component_distribution.event_shape, validate_args=validate_args
        )

    @property
    def num_members(self) -> int:
        """The number of members E."""
        return self.component_distribution.batch_shape[self._member_dim]

    @property
    def has_rsample(self) -> bool:
        """False: draws are not differentiable, because the choice of the member is discrete."""
        return False

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The members' support, or the smallest interval that contains them if they differ."""
        return self._hull_of(self.component_distribution.support)

    def _hull_of(self, support: Any) -> Any:
        shape = self.component_distribution.batch_shape + self.event_shape
        return _hull(support, self._array_axis, shape)

    @property
    def _array_axis(self) -> int:
        return self._member_dim - self.event_dim

    def _to_members(self, value: ArrayLike) -> Array:
        """`value` with a singleton axis at the position of the members' axis."""
        value = jnp.asarray(value)
        rank = -self._array_axis - 1
        value = value.reshape((1,) * (rank - value.ndim) + value.shape)
        return jnp.expand_dims(value, value.ndim - rank)

    def _all_members(self, x: ArrayLike, event_shape: tuple[int, ...] = ()) -> Array:
        shape = self.component_distribution.batch_shape + event_shape
        return jnp.broadcast_to(x, jnp.broadcast_shapes(jnp.shape(x), shape))

    @promoting()
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # as NumPyro's own
        key_draws, key_member = jax.random.split(key)
        draws = jnp.asarray(self.component_distribution.sample(key_draws, sample_shape))
        shape = sample_shape + self.batch_shape
        if self.weights is None:
            member = jax.random.randint(key_member, shape, 0, self.num_members)
        else:
            member = jax.random.categorical(key_member, jnp.log(self.weights), shape=shape)
        member = member.reshape(shape + (1,) * self.event_dim)
        member = jnp.expand_dims(member, member.ndim + 1 + self._array_axis)
        drawn = jnp.take_along_axis(draws, member, axis=self._array_axis)
        return jnp.squeeze(drawn, axis=self._array_axis)

    @promoting()
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value = self._to_members(value)
        support: Any = self.component_distribution.support
        if self._hull_of(support) is support:
            log_probs = self.component_distribution.log_prob(value)
        else:  # supports differ, and a member may not check values outside its own
            value = self._all_members(value, self.event_shape)
            is_inside = support(value)
            events = is_inside.reshape(is_inside.shape + (1,) * self.event_dim)
            value = jnp.where(events, value, support.feasible_like(value))
            log_probs = self.component_distribution.log_prob(value)
            log_probs = jnp.where(is_inside, log_probs, -jnp.inf)
        log_probs = self._all_members(log_probs)
        # Replacing -inf by itself blocks the gradients of zero densities, which are NaN.
        log_probs = jnp.where(jnp.isneginf(log_probs), -jnp.inf, log_probs)
        if self.weights is not None:
            weights = self._lined_up(self._member_dim).astype(log_probs.dtype)
            safe = jnp.where(weights > 0, weights, 1.0)
            log_probs = jnp.where(weights > 0, log_probs + jnp.log(safe), -jnp.inf)
            return jax.nn.logsumexp(log_probs, axis=self._member_dim)
        total = jax.nn.logsumexp(log_probs, axis=self._member_dim)
        return total - jnp.log(self.num_members).astype(total.dtype)

    def _lined_up(self, axis: int) -> Array:
        """The weights along an axis that is counted from the right."""
        return jnp.asarray(self.weights).reshape((-1,) + (1,) * (-axis - 1))

    def _average(self, x: Array, axis: int) -> Array:
        """The mean over the members, which are an axis counted from the right."""
        if self.weights is None:
            return jnp.mean(x, axis=axis)
        return jnp.sum(self._lined_up(axis).astype(x.dtype) * x, axis=axis)

    def cdf(self, value: ArrayLike) -> Array:
        """The probability of a value of at most `value`, for scalar events.

        Raises:
            NotImplementedError: If the event is not scalar, or the members have no `cdf`.
        """
        component = self.component_distribution
        while isinstance(component, dist.ExpandedDistribution):  # which has no cdf
            component = component.base_dist
        if self.event_shape:
            raise NotImplementedError(
                "`cdf` and `icdf` need scalar events, got events of shape "
                f"{self.event_shape}. Omit `to_event` to evaluate them for each entry."
            )
        try:
            cdfs = cdf_of(component, self._to_members(value))
        except NotImplementedError as error:
            kind = type(component).__name__
            raise NotImplementedError(
                f"`cdf` and `icdf` need members that have a `cdf`, which {kind} does not have."
            ) from error
        return self._average(self._all_members(cdfs), self._member_dim)

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest value y with ``cdf(y) >= q``, for scalar events.

        Args:
            q: Probabilities; the result for numbers outside 0 to 1 is NaN.

        Raises:
            NotImplementedError: If the event is not scalar, or the members have no `cdf`.
        """
        dtype = jax.eval_shape(self.cdf, jax.ShapeDtypeStruct((), _float_type(q))).dtype
        shape = jnp.broadcast_shapes(jnp.shape(q), self.batch_shape)
        return _icdf(self, jnp.broadcast_to(jnp.asarray(q, dtype), shape))

    @property
    def mean(self) -> Array:
        return self._average(self._means, self._array_axis)

    @property
    def variance(self) -> Array:
        return self.aleatoric + self.epistemic

    @property
    def aleatoric(self) -> Array:
        """The mean of the members' variances, which more data would not reduce."""
        variances = self._all_members(
            self.component_distribution.variance, self.event_shape
        )
        return self._average(variances, self._array_axis)

    @property
    def epistemic(self) -> Array:
        """The variance of the members' means: their disagreement."""
        if self.weights is None:
            return jnp.var(self._means, axis=self._array_axis)
        away = self._means - jnp.expand_dims(self.mean, self._array_axis)
        return self._average(away**2, self._array_axis)

    @property
    def _means(self) -> Array:
        return self._all_members(self.component_distribution.mean, self.event_shape)

    def enumerate_support(self, expand: bool = True) -> Array:
        values = self.component_distribution.enumerate_support(expand=False)
        shape = values.shape[:1] + (1,) * len(self.batch_shape) + self.event_shape
        values = values.reshape(shape)
        if expand:
            shape = values.shape[:1] + self.batch_shape + self.event_shape
            values = jnp.broadcast_to(values, shape)
        return values

    def expand(self, batch_shape: Any) -> "EnsembleMixture":
        """Expand the batch shape; the result is again an `EnsembleMixture`.

        New axes are placed left of the members' axis in `component_distribution`.
        """
        batch_shape = tuple(batch_shape)
        cut = len(batch_shape) + 1 + self._member_dim
        shape = batch_shape[:cut] + (self.num_members,) + batch_shape[cut:]
        expanded = copy.copy(self)
        expanded.component_distribution = self.component_distribution.expand(shape)
        expanded._batch_shape = batch_shape
        return expanded


@vmap_over.register(EnsembleMixture)
def _vmap_over(
    d: EnsembleMixture, component_distribution: Any = None, weights: Any = None
) -> EnsembleMixture:
    axes = copy.copy(d)
    axes.component_distribution = component_distribution
    axes.weights = weights
    return axes


@promote_batch_shape.register(EnsembleMixture)
def _promote_batch_shape(d: EnsembleMixture) -> EnsembleMixture:
    promoted = copy.copy(d)
    component = promote_batch_shape(d.component_distribution)
    promoted.component_distribution = component
    batch_shape = list(component.batch_shape)
    del batch_shape[d._member_dim]
    promoted._batch_shape = tuple(batch_shape)
    return promoted


def _checked(weights: ArrayLike, num_members: int) -> Array:
    """Check the weights of the members, and rescale them to sum to one exactly."""
    if isinstance(weights, jax.core.Tracer):
        return weights
    given = np.asarray(_checks.reals("weights", weights), float)
    is_good = given.shape == (num_members,) and (given >= 0).all()
    if not (is_good and abs(given.sum() - 1) < 1e-3):
        raise ValueError(
            f"`weights` must be {num_members} numbers of at least 0 with sum 1, one for each "
            f"member, got {given.tolist()}. Divide them by their sum."
        )
    return jnp.asarray(given / given.sum())


def _hull(support: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """The smallest interval that contains the supports of all members.

    Args:
        support: The members' support; its bounds may be arrays.
        axis: The members' axis in arrays of shape `shape`.
        shape: Batch and event shape of the members.
    """
    if isinstance(support, constraints._IndependentConstraint):
        base = _hull(support.base_constraint, axis, shape)
        if base is support.base_constraint:
            return support
        return constraints.independent(base, support.reinterpreted_batch_ndims)
    reduce = {"lower_bound": jnp.min, "upper_bound": jnp.max}
    bounds = {n: getattr(support, n) for n in reduce if jnp.ndim(getattr(support, n, 0))}
    if not bounds:
        return support
    hull = copy.copy(support)
    for name, bound in bounds.items():
        setattr(hull, name, reduce[name](jnp.broadcast_to(bound, shape), axis=axis))
    return hull


@jax.custom_jvp
def _icdf(d: EnsembleMixture, q: Array) -> Array:
    support = d.support
    lower = jnp.broadcast_to(getattr(support, "lower_bound", -jnp.inf), q.shape)
    upper = jnp.broadcast_to(getattr(support, "upper_bound", jnp.inf), q.shape)
    lower, upper = lower.astype(q.dtype), upper.astype(q.dtype)
    if d.is_discrete:
        # The rounding error of a sum must not shift a quantile by a whole count.
        target = q * (1 - 8 * jnp.finfo(q.dtype).eps)
        found = first_integer(d.cdf, target, lower, upper)
    else:
        found = first_number(d.cdf, q, lower, upper)
    is_valid = (q >= 0) & (q <= 1) & ~jnp.isnan(d.cdf(found))
    found = jnp.where(q <= 0, lower, jnp.where(q >= 1, upper, found))
    return jnp.where(is_valid, found, jnp.nan)


@functools.partial(_icdf.defjvp, symbolic_zeros=True)
def _icdf_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    r"""From $F(y; \theta) = q$: $dy = (dq - \partial_\theta F\, d\theta) / p(y)$."""
    d, q = primals
    y = _icdf(d, q)
    if d.is_discrete:
        return y, jnp.zeros_like(y)
    leaves, treedef = jax.tree.flatten(d)
    moves = jax.tree.leaves(tangents[0], is_leaf=lambda t: isinstance(t, SymbolicZero))
    # Only perturbed parameters: the CDF of some members is not differentiable in the others.
    moving = [i for i, move in enumerate(moves) if not isinstance(move, SymbolicZero)]
    change = jnp.zeros_like(y)
    if not isinstance(tangents[1], SymbolicZero):
        change += tangents[1]
    if moving:

        def cdf(values: list[Array]) -> Array:
            now = dict(zip(moving, values, strict=True))
            return treedef.unflatten([now.get(i, x) for i, x in enumerate(leaves)]).cdf(y)

        at, by = [leaves[i] for i in moving], [moves[i] for i in moving]
        change -= jax.jvp(cdf, (at,), (by,))[1]
    return y, change / jnp.exp(d.log_prob(y)).astype(y.dtype)


def _float_type(q: ArrayLike) -> Any:
    return jnp.result_type(q if jnp.issubdtype(jnp.result_type(q), jnp.floating) else float)
