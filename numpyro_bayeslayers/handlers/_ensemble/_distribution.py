"""One distribution for all members, from the distribution of one.

`jax.vmap` maps the parameters of a distribution but not its `batch_shape`, which is static:
the boundary passes a distribution of one member's shape whose arrays have a leading axis. Here
it becomes a distribution of the plated shape.

Most of NumPyro's classes broadcast their parameters, so the class is constructed again with the
member axis of each parameter in place. This preserves class-based features of inference:
analytic divergences, conjugacy, reparameterizations. Any other class (a parameter of unusual
structure, a size that is not a parameter) becomes a `VmappedDistribution`, which maps the
class's methods instead.
"""

import inspect
from collections.abc import Callable
from functools import singledispatch

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import transforms

from ._axis import MemberAxis
from ._vmapped import VmappedDistribution, place_support


def lift(d: dist.Distribution, axis: MemberAxis) -> dist.Distribution:
    """The distribution of all members, with batch shape `axis.batch_shape(d.batch_shape)`.

    Args:
        d: A distribution with the static shapes of one member; its arrays have a leading
            axis of size `axis.size`, or 1 for parameters that all members share.
        axis: Where the members go.

    Example:
        >>> axis = MemberAxis(size=4, nesting=1)
        >>> one = dist.Normal(jnp.zeros(3), 1.0).to_event(1)
        >>> leading = jax.tree.map(lambda x: jnp.broadcast_to(x, (4,) + jnp.shape(x)), one)
        >>> lift(leading, axis).batch_shape, lift(leading, axis).event_shape
        ((4, 1), (3,))
    """
    d = jax.tree.map(lambda x: x if jnp.ndim(x) else jnp.asarray(x)[None], d)
    batch_shape = axis.batch_shape(d.batch_shape)
    is_shared = all(x.shape[0] == 1 for x in jax.tree.leaves(d))
    if is_shared and len(d.batch_shape) <= axis.nesting:
        # As a plate does for any distribution; nothing is copied for each member.
        return jax.tree.map(lambda x: x[0], d).expand(batch_shape)
    return _place(d, axis).expand(batch_shape)


@singledispatch
def _place(d: dist.Distribution, axis: MemberAxis) -> dist.Distribution:
    """Put the member axis of the parameters in place; it may still be of size 1."""
    event_dims = _event_dims(d)
    if event_dims is None:
        return VmappedDistribution(d, axis)
    params = {n: axis.insert(getattr(d, n), ndim) for n, ndim in event_dims.items()}
    try:
        placed = type(d)(**params, validate_args=d._validate_args)
    except Exception:
        # The constructor accepts only the parameters of one member, whatever its error. The
        # wrapper works for every class.
        return VmappedDistribution(d, axis)
    expected = [a.batch_shape(d.batch_shape) for a in (axis, axis._replace(size=1))]
    is_right = placed.event_shape == d.event_shape and placed.batch_shape in expected
    return placed if is_right else VmappedDistribution(d, axis)


def _event_dims(d: dist.Distribution) -> dict[str, int] | None:
    """The event dims of the parameters, if the constructor takes nothing else."""
    names = set(inspect.signature(type(d)).parameters) - {"validate_args"}
    values = d.get_args()
    if (
        not names
        or names != set(values)
        or not all(map(eqx.is_array_like, values.values()))
    ):
        return None
    try:
        return {name: d.arg_constraints[name].event_dim for name in values}
    except NotImplementedError:  # a constraint that depends on other parameters
        return None


@_place.register
def _place_independent(d: dist.Independent, axis: MemberAxis) -> dist.Distribution:
    ndim = d.reinterpreted_batch_ndims
    return _place(d.base_dist, axis.deeper(ndim)).to_event(ndim)


@_place.register
def _place_expanded(d: dist.ExpandedDistribution, axis: MemberAxis) -> dist.Distribution:
    return _place(d.base_dist, axis).expand(axis.batch_shape(d.batch_shape))


@_place.register
def _place_masked(d: dist.MaskedDistribution, axis: MemberAxis) -> dist.Distribution:
    base = _place(d.base_dist, axis)
    return base.mask(d._mask if isinstance(d._mask, bool) else axis.insert(d._mask, 0))


@_place.register
def _place_transformed(
    d: dist.TransformedDistribution, axis: MemberAxis
) -> dist.Distribution:
    if type(d) is not dist.TransformedDistribution:  # a subclass makes its own base
        return _place.dispatch(dist.Distribution)(d, axis)
    placed = []
    for transform in d.transforms:
        is_affine = isinstance(transform, transforms.AffineTransform)
        if is_affine and d.event_dim == d.base_dist.event_dim:
            loc, scale = (
                axis.insert(x, d.event_dim) for x in (transform.loc, transform.scale)
            )
            transform = transforms.AffineTransform(loc, scale, transform.domain)
        elif jax.tree.leaves(transform):  # arrays whose event axes are not known
            return VmappedDistribution(d, axis)
        placed.append(transform)
    return dist.TransformedDistribution(_place(d.base_dist, axis), placed)


@_place.register
def _place_delta(d: dist.Delta, axis: MemberAxis) -> dist.Distribution:
    v = axis.insert(d.v, d.event_dim)
    return dist.Delta(v, axis.insert(d.log_density, 0), event_dim=d.event_dim)


@_place.register
def _place_unit(d: dist.Unit, axis: MemberAxis) -> dist.Distribution:
    return dist.Unit(axis.insert(d.log_factor, 0))


@_place.register
def _place_multivariate_normal(
    d: dist.MultivariateNormal, axis: MemberAxis
) -> dist.Distribution:
    loc, scale_tril = axis.insert(d.loc, 1), axis.insert(d.scale_tril, 2)
    return dist.MultivariateNormal(loc, scale_tril=scale_tril)


@_place.register
def _place_improper_uniform(d: dist.ImproperUniform, axis: MemberAxis) -> dist.Distribution:
    batch_shape = axis.batch_shape(d.batch_shape)
    return dist.ImproperUniform(place_support(d.support, axis), batch_shape, d.event_shape)


def lower(
    d: dist.Distribution,
    axis: MemberAxis,
    batch_shape: tuple[int, ...],
    inward: Callable[[Array], Array],
) -> dist.Distribution | None:
    """The inverse of `lift`: one member's distribution from that of all members.

    Args:
        d: A distribution of all members.
        axis: Where the members stand in it.
        batch_shape: The batch shape that one member sees.
        inward: Function that brings an array with a leading member axis into a member.

    Returns:
        None for a class that cannot be decomposed; a mean-field guide never uses one.
    """
    if isinstance(d, dist.Independent):
        ndim = d.reinterpreted_batch_ndims
        inner_shape = batch_shape + d.event_shape[:ndim]
        base = lower(d.base_dist, axis.deeper(ndim), inner_shape, inward)
        return None if base is None else base.to_event(ndim)
    if isinstance(d, (dist.ExpandedDistribution, dist.MaskedDistribution)):
        return lower(d.base_dist, axis, batch_shape, inward)
    if isinstance(d, dist.Delta):
        v = inward(axis.pull(d.v, d.event_dim, len(batch_shape)))
        return dist.Delta(v, event_dim=d.event_dim).expand(batch_shape)
    event_dims = _event_dims(d)
    if event_dims is None:
        return None
    params = {
        name: inward(axis.pull(getattr(d, name), ndim, len(batch_shape)))
        for name, ndim in event_dims.items()
    }
    return type(d)(**params).expand(batch_shape)
