"""Equinox modules whose parameters are declared by a table."""

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
    with_member_biases,
    with_shared_frozen,
)
from ._inputs import Input, same_batch
from ._products import (
    Product,
    Rows,
    example_ndim,
    is_linear,
    leaf_of,
    linear_modules,
    used_of,
    with_products,
)
from ._table import Entry, declare, is_array, path_of

_NOTHING: Mapping[str, Array] = MappingProxyType({})
_READ = "the lifted module computes with it besides applying it (`equinox.nn.Shared` does)"
_NO_PRODUCT = "it belongs to no linear module of Equinox"
_DRAWN = "it is used in a module that `draw` gave; call the lifted module on rows instead"


class Lifted(AbstractLayer):
    r"""An Equinox module whose parameters are NumPyro sites; made by `lift`.

    Called on rows it draws every parameter that has a prior, registers those that have a
    constraint, and maps the module over the rows:

    $$\theta_p \sim \text{prior}_p \;\text{ for each path } p, \qquad
    f_n = \text{module}_\theta(x_n)$$

    The module's own call is written for one example of `in_ndim` axes, (\*example); inputs
    have the shape (\*batch, \*example), and so do the outputs. Several inputs, or pytrees of
    them (the state of an LSTM), have the same batch axes. Keyword arguments are handed to the
    module as they are, but for `key`, of which each row gets its own. Inside plates, each cell
    has its own module.

    Gradient estimators see the products of `equinox.nn.Linear`, `Conv`, `ConvTranspose` and
    `Embedding`. Flipout draws one pair of sign vectors for each row, so positions of a
    sequence and pixels share the row's draw; local reparameterization, whose noise belongs to
    outputs, leaves out what a row uses in several places. Weights of other modules (the
    cells of recurrent networks), and products inside of `lax.scan`, `jax.jit` or `jax.grad`
    within the module, keep the plain value, and gradient estimators name them.

    Args:
        module: The module, without the arrays of its parameters.
        priors: Distribution by path, each of one parameter.
        constraints: Constraint by path, of optimized parameters.
        start: Start values of these, by path.
        frozen: Arrays that stay, by path; they get no gradient.
        in_ndim: Axes of one example.
        num_members: Members of a batch ensemble, or None.
        name: Prefix of the sites.

    Sites:
        ``{name}.{path}``: event of the parameter's shape, such as ``net.layers.0.weight``, for
        each parameter with a prior; a ``param`` for each one with a constraint. In a batch
        ensemble also the parameters ``net.layers.0.r`` (e, in) and ``net.layers.0.s``
        (e, out), and biases lead with the members.

    Raises:
        ValueError: If an input has fewer axes than an example, or another batch than the
            first one.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
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
    in_ndim: int = setting(check=_checks.count)
    num_members: int | None = setting(check=_checks.optional(_checks.size))
    name: str | None = setting(check=_checks.optional_label, default=None)

    def draw(self) -> eqx.Module:
        """The module itself with its parameters drawn, to be used as any Equinox module.

        Gradient estimators do not act on it. Inside of plates call the layer on rows instead.

        Raises:
            ValueError: If it is called inside of a plate, or is a batch ensemble.

        Example:
            >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
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
                "plates here. Call the lifted module on rows, or draw outside of the plate."
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
        leaves, structure = jax.tree.flatten(args)
        inputs = [Input(leaf, self.in_ndim, plates) for leaf in leaves]
        batch = same_batch(inputs)
        members = () if self.num_members is None else (self.num_members,)
        check_batch(batch, members)
        sites = self._sites()
        products = self._products(sites, Rows(len(plates), bool(members)))

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
            return visible(*jax.tree.unflatten(structure, leaves), **kwargs, **own_key)

        rows = (*members, math.prod(batch[len(members) :]))
        row = jnp.arange(math.prod(batch)).reshape(rows)
        keys = None if key is None else jax.random.split(key, rows)
        by_key = None if key is None else 0
        mapped: Callable[..., PyTree] = jax.vmap(one, (None, 0, by_key, 0))
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
        out = mapped(values, row, keys, [x.in_blocks(rows) for x in inputs])
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
        """The products that gradient estimators see, by the path of their modules."""
        modules = linear_modules(self.module)
        seen = {
            path: Product(rows, module, sites[leaf_of(path, "weight")])
            for path, module in modules.items()
            if leaf_of(path, "weight") in self.priors
        }
        # A bias is no product: it is added as it was drawn.
        reached = {leaf_of(path, leaf) for path in modules for leaf in ("weight", "bias")}
        for path in self.priors:
            if path not in reached:
                _say_opaque(sites[path], _NO_PRODUCT)
        return seen


class LiftedLinear(Lifted, AbstractLinearNormal):
    """An `equinox.nn.Linear` whose parameters are NumPyro sites; made by `lift`.

    A `Lifted` module that, if its priors are normal, has `marginal` and `condition` besides.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
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
    """The start value in each cell of the plates."""
    return jnp.broadcast_to(value, shape)


def _like(x: Array, ndim: int) -> jax.ShapeDtypeStruct:
    """What one of many is like: the last `ndim` axes."""
    return jax.ShapeDtypeStruct(x.shape[x.ndim - ndim :], x.dtype)


def _event_shape(site: Site) -> tuple[int, ...]:
    return site.value.shape[site.value.ndim - site.event_dim :]


def _say_opaque(site: Site, reason: str) -> None:
    # Vectors (biases, scales) are no matrices: nowhere could a gradient estimator act on them.
    if sum(size > 1 for size in _event_shape(site)) > 1:
        primitives.opaque(site, reason)


def lift(
    module: PyTree,
    priors: Mapping[str, Entry],
    *,
    in_ndim: int | None = None,
    batch_ensemble: int | None = None,
    name: str | None = None,
) -> Lifted:
    r"""Declare the parameters of an Equinox module: a layer whose sites they are.

    Each array of floating point numbers has a path, its attributes and indices with dots
    between them, such as ``layers.0.weight``. The first pattern that matches the path
    (`fnmatch`; ``*.weight`` is any weight) says what becomes of it:

    - a distribution: the prior, expanded to the array's shape;
    - a function of the array's shape that returns one: ``lambda shape: dist.Normal(0,
      shape[-1] ** -0.5)``;
    - a constraint of NumPyro: an optimized `numpyro.param` under it, which starts from the
      module's value (``constraints.positive`` for a lengthscale, ``constraints.real``);
    - `None`: it stays as it is.

    The values of parameters with a prior are dropped, so no copy of them is trained or kept.
    A prior may depend on values drawn before: lift inside of the model then.

    Args:
        module: An Equinox module; it is not changed.
        priors: Entry by pattern, tried in this order.
        in_ndim: Axes of one example of the input. By default what the module expects if it
            is one of Equinox's (2 for `MultiheadAttention` and `Conv1d`, 0 for `Embedding`),
            else 1.
        batch_ensemble: Number of members $E$, for a batch ensemble: its members share the
            weights of each `Linear`, `Conv` and `ConvTranspose`, scale inputs and outputs of
            these by vectors of their own, as in `DenseBatchEnsemble`, and have biases of
            their own; all other parameters are common. Inputs and outputs lead with the
            members: (e, \*batch, \*example), see `tile_members`.
        name: Prefix of the sites; ``lifted`` by default.

    Returns:
        A `Lifted` layer; of an `equinox.nn.Linear` a `LiftedLinear`, which has a marginal.

    Raises:
        TypeError: If `module` is no Equinox module or an entry is of another kind.
        ValueError: If a parameter has no entry (it is named), a pattern matches nothing or is
            never reached, a prior does not expand to its parameter's shape, a start value
            does not satisfy its constraint, nothing is left to infer, the module has a state
            (`equinox.nn.BatchNorm`, or any `StateIndex`), or it has no part that could become
            a batch ensemble.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro.handlers import seed, trace
        >>> mlp = eqx.nn.MLP(3, 1, 10, 1, key=jax.random.key(0))
        >>> table = {"*.weight": dist.Normal(0, 1), "*.bias": dist.Laplace(0, 1)}
        >>> net = lift(mlp, table, name="net")
        >>> sites = trace(seed(net, 0)).get_trace(jnp.ones((5, 3)))
        >>> sorted(sites)[:2]
        ['net.layers.0.bias', 'net.layers.0.weight']
        >>> seed(net, 0)(jnp.ones((5, 3))).shape
        (5, 1)

        A batch ensemble of it:

        >>> members = lift(mlp, table, batch_ensemble=4, name="net")
        >>> seed(members, 0)(jnp.ones((4, 5, 3))).shape
        (4, 5, 1)

    References:
        Wen, Tran and Ba (2020), "BatchEnsemble: an alternative approach to efficient ensemble
        and lifelong learning", ICLR, section 3.1 (`batch_ensemble`).
    """
    _checks.instance("module", module, eqx.Module, "an Equinox module")
    batch_ensemble = _checks.optional(_checks.size)("batch_ensemble", batch_ensemble)
    if batch_ensemble is None:
        declared = declare(module, priors)
    else:
        declared = declare(with_member_biases(module, batch_ensemble), priors)
        declared = with_shared_frozen(declared, module)
    if in_ndim is None:
        in_ndim = example_ndim(module)
    without = jax.tree.map(_placeholder, module)
    has_marginal = is_linear(module) and hasattr(module, "in_features")
    kind = LiftedLinear if has_marginal and batch_ensemble is None else Lifted
    return kind(without, *declared, in_ndim, batch_ensemble, name)


def _placeholder(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if is_array(leaf) else leaf
