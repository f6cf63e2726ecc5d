"""Equinox modules with parameters declared by a table."""

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree
from numpyro.distributions import Distribution
from numpyro.distributions.constraints import Constraint
from numpyro.primitives import _PYRO_STACK

from ... import _checks, primitives
from ..._base import AbstractLayer
from ..._settings import setting
from ...handlers._gradient_estimator import AbstractGradientEstimator
from ...primitives import Site, factorized_normal
from .._linear_normal import AbstractLinearNormal, LinearNormal
from ._batch_ensemble import (
    check_batch,
    member_factors,
    member_paths,
)
from ._inputs import Input, same_batch
from ._products import (
    Product,
    Rows,
    leaf_of,
    linear_modules,
    used_of,
    with_products,
)
from ._state import State
from ._table import path_of

_NOTHING: Mapping[str, Array] = MappingProxyType({})
_PLATES = (
    "The module {name!r} has one state for all rows and cannot be in a plate. Call it outside "
    "the plate, or use layers without a state (LayerNorm, GroupNorm)."
)
_READ = (
    "the lifted module also uses it outside its linear map (as `equinox.nn.Shared` does)"
)
_NO_PRODUCT = "it does not belong to a linear module of Equinox"
_DRAWN = "it is used in a module returned by `draw`; call the lifted module on rows instead"


class Lifted(AbstractLayer):
    r"""An Equinox module whose parameters are NumPyro sites, created by `lift`.

    When called on rows, it draws every parameter with a prior, registers those with a
    constraint, and maps the module over the rows:

    $$\theta_p \sim \text{prior}_p \;\text{ for each path } p, \qquad
    f_n = \text{module}_\theta(x_n)$$

    The module's own call is written for one example of `in_ndim` axes, (\*example); inputs have
    the shape (\*batch, \*example), and so do the outputs. Several inputs, or pytrees of inputs
    (the state of an LSTM), have the same batch axes. Keyword arguments are passed to the module
    unchanged, except `key`, which is split over rows. Inside plates, each cell has a separate
    module.

    Gradient estimators see the products of `equinox.nn.Linear`, `Conv`, `ConvTranspose` and
    `Embedding`. Flipout draws one pair of sign vectors for each row, so positions of a sequence
    and pixels share the row's draw; local reparameterization, whose noise belongs to outputs,
    skips weights that a row uses in several places. Weights of other modules (the cells of
    recurrent networks), and products inside `lax.scan`, `jax.jit` or `jax.grad` within the
    module, use the plain value, and gradient estimators name them.

    A module with a state (batch or spectral normalization) is called without it: the state is
    kept from step to step by `numpyro.mutable`. Inside an objective the module normalizes by
    the rows that it is given and updates its state; everywhere else, in predictions and draws
    of a prior, it uses the stored state, so that a row does not depend on the other rows.

    Args:
        module: The module, without the arrays of its parameters.
        priors: Distribution by path, each of one parameter.
        constraints: Constraint by path, of optimized parameters.
        start: Initial values of optimized parameters, by path.
        frozen: Fixed arrays, by path, without a gradient.
        state: Initial state of the module; None if it has none.
        in_ndim: Number of axes of one example.
        num_members: Number of members of a batch ensemble, or None.
        name: Prefix of the sites.

    Sites:
        ``{name}.{path}``: event of the parameter's shape, such as ``net.layers.0.weight``, for
        each parameter with a prior; a ``param`` for each one with a constraint. In a batch
        ensemble also the parameters ``net.layers.0.r`` (e, in) and ``net.layers.0.s`` (e, out),
        and the first axis of biases is that of the members. With a state, the ``mutable`` site
        ``{name}.state``.

    Raises:
        ValueError: If an input has fewer axes than an example, or different batch axes from the
            first; or if a module with a state is called inside a plate.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro_bayeslayers.layers import lift
        >>> from numpyro.handlers import seed, trace
        >>> cell = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
        >>> layer = lift(cell, {"weight*": dist.Normal(0, 1), "bias*": None}, name="cell")
        >>> sites = trace(seed(layer, 0)).get_trace(jnp.ones((5, 3)), jnp.zeros((5, 4)))
        >>> {name: site["value"].shape for name, site in sites.items()}
        {'cell.weight_ih': (12, 3), 'cell.weight_hh': (12, 4)}
    """

    module: eqx.Module = eqx.field(static=True)
    priors: dict[str, Distribution]
    constraints: dict[str, Constraint] = eqx.field(static=True)
    start: dict[str, Array]
    frozen: dict[str, Array]
    state: State | None
    in_ndim: int = setting(check=_checks.count)
    num_members: int | None = setting(check=_checks.optional(_checks.size))
    name: str | None = setting(check=_checks.optional_label, default=None)

    def draw(self) -> eqx.Module:
        """Draw the parameters and return the module, for use as any Equinox module.

        Gradient estimators do not act on it. Inside plates, call the layer on rows instead.

        Raises:
            ValueError: If it is called inside a plate, or is a batch ensemble.

        Example:
            >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
            >>> from numpyro_bayeslayers.layers import lift
            >>> from numpyro.handlers import seed
            >>> linear = eqx.nn.Linear(3, 2, key=jax.random.key(0))
            >>> layer = lift(linear, {"*": dist.Normal(0, 1)}, name="f")
            >>> def model(x):
            ...     return jax.vmap(layer.draw())(x)
            >>> seed(model, 0)(jnp.ones((5, 3))).shape
            (5, 2)
        """
        if self.num_members is not None:
            raise ValueError(
                "`draw` gives one module, but a batch ensemble has one for each member. Call "
                "the lifted module on rows."
            )
        if primitives.plate_shape():
            raise ValueError(
                "`draw` gives one module, but there is one for each cell of the enclosing "
                "plates here. Call the lifted module on rows, or draw outside the plate."
            )
        with primitives.scope(prefix=self.prefix):
            sites = self._sites()
        for site in sites.values():
            _say_opaque(site, _DRAWN)
        return self._filled({path: site.value for path, site in sites.items()})

    def _sites(self) -> dict[str, Site]:
        drawn = {path: primitives.sample_site(path, fn) for path, fn in self.priors.items()}
        for path, constraint in self.constraints.items():
            value = self.start[path]
            init = functools.partial(_spread, value)
            drawn[path] = primitives.param(path, init, value.shape, constraint=constraint)
        if self.num_members is not None:
            drawn |= member_factors(self.module, self.num_members)
        return drawn

    def _filled(self, values: Mapping[str, Array]) -> eqx.Module:
        """The module with these parameters and its own frozen arrays."""
        frozen = {path: lax.stop_gradient(value) for path, value in self.frozen.items()}
        known = frozen | dict(values)
        return jax.tree_util.tree_map_with_path(
            lambda keys, old: known.get(path_of(keys), old), self.module
        )

    def _forward(self, *args: PyTree, key: Any = None, **kwargs: Any) -> PyTree:
        plates = primitives.plate_shape()
        if self.state is not None and plates:
            raise ValueError(_PLATES.format(name=self.prefix))
        leaves, structure = jax.tree.flatten(args)
        inputs = [Input(leaf, self.in_ndim, plates) for leaf in leaves]
        batch = same_batch(inputs)
        members = () if self.num_members is None else (self.num_members,)
        check_batch(batch, members)
        sites = self._sites()
        products = self._products(sites, Rows(len(plates), bool(members)))
        held = None if self.state is None else self.state.enter()

        def one(
            values: dict[str, Array],
            row: Array,
            key: Any,
            leaves: list[Array],
            read: Mapping[str, Array] = _NOTHING,
        ) -> PyTree:
            filled = self._filled({**values, **read})
            visible = with_products(filled, products, values, row)
            own_key = {} if key is None else {"key": key}
            given = jax.tree.unflatten(structure, leaves)
            if held is None:
                return visible(*given, **kwargs, **own_key)
            module = held.of(visible, is_alone=bool(read))
            out, after = module(*given, held.state(), **kwargs, **own_key)
            return out if read else (out, jax.tree.leaves(after))

        rows = (*members, math.prod(batch[len(members) :]))
        row = jnp.arange(math.prod(batch)).reshape(rows)
        keys = None if key is None else jax.random.split(key, rows)
        by_key = None if key is None else 0
        how: dict[str, Any] = {}
        if held is not None:
            how = {"axis_name": held.axis, "out_axes": (0, None)}
        mapped: Callable[..., PyTree] = jax.vmap(one, (None, 0, by_key, 0), **how)
        own = member_paths(self.module) & sites.keys() if members else set()
        if members:
            by_site = {path: 0 if path in own else None for path in sites}
            mapped = jax.vmap(mapped, (by_site, 0, by_key, 0))
        for level in reversed(range(len(plates))):
            axes = [x.plate_axes[level] for x in inputs]
            mapped = jax.vmap(mapped, (0, None, None, axes))
        values = {
            path: jnp.broadcast_to(site.value, plates + _event_shape(site))
            for path, site in sites.items()
        }
        blocks = [x.in_blocks(rows) for x in inputs]
        try:
            out = mapped(values, row, keys, blocks)
        except Exception as error:
            shapes = ", ".join(str(_like(x.rows, self.in_ndim).shape) for x in inputs)
            kind = type(self.module).__name__
            error.add_note(
                f"`x` has examples of shape {shapes} (the last `in_ndim`={self.in_ndim} axes), "
                f"for which the lifted {kind} raised this error."
            )
            raise
        if held is not None:
            out, after = out
            held.leave(after)
        if any(isinstance(handler, AbstractGradientEstimator) for handler in _PYRO_STACK):
            width = len(plates)
            cell = {p: _like(x, x.ndim - width - (p in own)) for p, x in values.items()}
            key_like = None if keys is None else _like(keys, keys.ndim - len(rows))
            examples = [_like(x.rows, self.in_ndim) for x in inputs]
            weights = {
                path: cell[path] for path in (leaf_of(p, "weight") for p in products)
            }
            for path in used_of(weights, one, cell, _like(row, 0), key_like, examples):
                primitives.opaque(sites[path], _READ)
        split = len(plates)
        return jax.tree.map(
            lambda y: y.reshape(y.shape[:split] + batch + y.shape[split + len(rows) :]), out
        )

    def _products(self, sites: Mapping[str, Site], rows: Rows) -> dict[str, Product]:
        """The products that are visible to gradient estimators, by the path of their modules."""
        modules = linear_modules(self.module)
        seen = {
            path: Product(rows, module, sites[leaf_of(path, "weight")])
            for path, module in modules.items()
            if leaf_of(path, "weight") in self.priors
        }
        # A bias is not a product: it is added as drawn.
        reached = {leaf_of(path, leaf) for path in modules for leaf in ("weight", "bias")}
        for path in self.priors:
            if path not in reached:
                _say_opaque(sites[path], _NO_PRODUCT)
        return seen


class LiftedLinear(Lifted, AbstractLinearNormal):
    """An `equinox.nn.Linear` whose parameters are NumPyro sites, created by `lift`.

    A `Lifted` module that also has `marginal` and `condition` if its priors are normal.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro_bayeslayers.layers import lift
        >>> linear = eqx.nn.Linear(3, 1, key=jax.random.key(0))
        >>> layer = lift(linear, {"*": dist.Normal(0, 1)}, name="f")
        >>> layer.marginal(jnp.ones((5, 3)), 0.1).event_shape
        (5,)
    """

    def _linear_normal(self) -> LinearNormal:
        moments = {path: factorized_normal(fn) for path, fn in self.priors.items()}
        bad = [path for path, normal in moments.items() if normal is None]
        bad += [*self.constraints, *self.frozen]
        if bad:
            raise ValueError(
                f"A marginal needs normal priors of all parameters, and {', '.join(bad)} has "
                "none. Lift it with `numpyro.distributions.Normal`, or call the layer."
            )
        weight_shape = self.priors["weight"].event_shape
        out_features, in_features = weight_shape
        has_bias = "bias" in self.priors

        def columns(moment: str) -> Array:
            """(out, in + 1): the weights of each output, the bias last."""
            weight = jnp.broadcast_to(getattr(moments["weight"], moment), weight_shape)
            if not has_bias:
                return weight
            bias = jnp.broadcast_to(getattr(moments["bias"], moment), (out_features,))
            return jnp.concatenate([weight, bias[:, None]], -1)

        def features(x: Array) -> Array:
            _checks.last_axis("x", x, "in_features", in_features)
            ones = jnp.ones(x.shape[:-1] + (int(has_bias),), x.dtype)
            return jnp.concatenate([x, ones], -1)

        def sites(weights: Array) -> dict[str, Array]:
            rows = weights[..., None, :] if is_squeezed else weights
            named = {"weight": rows[..., :in_features]}
            return named | ({"bias": rows[..., -1]} if has_bias else {})

        is_squeezed = out_features == 1
        loc, scale = columns("loc"), columns("scale")
        if is_squeezed:
            loc, scale = loc[0], scale[0]
        return LinearNormal(features, loc, scale, sites)


def _spread(value: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """The initial value in each cell of the plates."""
    return jnp.broadcast_to(value, shape)


def _like(x: Array, ndim: int) -> jax.ShapeDtypeStruct:
    """The shape and type of one of many: the last `ndim` axes."""
    return jax.ShapeDtypeStruct(x.shape[x.ndim - ndim :], x.dtype)


def _event_shape(site: Site) -> tuple[int, ...]:
    return site.value.shape[site.value.ndim - site.event_dim :]


def _say_opaque(site: Site, reason: str) -> None:
    # Vectors (biases, scales) are not matrices: gradient estimators never act on them.
    if sum(size > 1 for size in _event_shape(site)) > 1:
        primitives.opaque(site, reason)
