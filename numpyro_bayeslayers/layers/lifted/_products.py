"""Products inside a module, made visible to gradient estimators.

A module is written for one example, and `jax.vmap` maps it over rows. Inside the map a product
has only one row, while a gradient estimator needs all rows. Therefore the product is a function
of `jax.custom_batching.custom_vmap`: when JAX maps it, JAX calls the batching rule with the
rows of all examples, outside the map, and the rule sends the ``"linear"`` message.
"""

import functools
import string
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array, Int

from ...primitives import AbstractLinearOp, Site, linear, opaque
from ._table import path_of

_UNREACHED = (
    "it is used inside a loop, a jitted function or a derivative of the lifted module"
)
# Modules whose output is linear in `weight`, before `bias` is added.
_LINEAR = (eqx.nn.Linear, eqx.nn.Conv, eqx.nn.ConvTranspose, eqx.nn.Embedding)


def _is_differentiated(x: Any) -> bool:
    """Whether the innermost transformation differentiates with respect to `x`.

    JAX cannot differentiate a function of `custom_vmap` inside a map, and the transformation
    can be inferred only from the types of its tracers.
    """
    return type(x).__name__ in ("JVPTracer", "LinearizeTracer")


def is_linear(module: Any) -> bool:
    """Whether `module` is an unmodified Equinox module that applies a weight linearly."""
    kind = next((kind for kind in _LINEAR if isinstance(module, kind)), None)
    return kind is not None and type(module).__call__ is kind.__call__


def example_ndim(module: Any) -> int:
    """The number of axes of one input example; one for an unknown module."""
    if isinstance(module, (eqx.nn.Conv, eqx.nn.ConvTranspose)):
        return module.num_spatial_dims + 1
    if isinstance(module, eqx.nn.Linear):
        return 0 if module.in_features == "scalar" else 1
    if isinstance(module, eqx.nn.MultiheadAttention):
        return 2
    return 0 if isinstance(module, eqx.nn.Embedding) else 1


class Weighted(AbstractLinearOp):
    """A linear module as a function of rows and of its weight.

    Inputs have the axes (*plates, n, *places, *example); `places` is the number of axes of
    positions within a row at which the module is applied.
    """

    def __init__(self, module: Any) -> None:
        has_bias = getattr(module, "bias", None) is not None
        bare = eqx.tree_at(lambda m: m.bias, module, None) if has_bias else module
        # `Conv` checks `use_bias`, `Linear` checks the bias.
        has_flag = getattr(bare, "use_bias", False)
        self._module = _with_field(bare, "use_bias", False) if has_flag else bare
        self._places = 0
        self._in_ndim = example_ndim(module)
        is_scalar = getattr(module, "out_features", None) == "scalar"
        is_embedding = isinstance(module, eqx.nn.Embedding)
        is_convolution = isinstance(module, (eqx.nn.Conv, eqx.nn.ConvTranspose))
        self._out_ndim = 0 if is_scalar else 1 if is_embedding else self._in_ndim or 1
        self._weight_ndim = 2 + (self._in_ndim - 1 if is_convolution else 0)
        self.rank = 1 + self._out_ndim
        self.rank_in = 1 + self._in_ndim
        self.is_dense = not is_embedding
        self.is_shared = is_convolution

    def at_places(self) -> "Weighted":
        """The same with one more axis of positions in each row."""
        again = object.__new__(Weighted)
        again.__dict__ |= self.__dict__
        again._places, again.rank, again.is_shared = self._places + 1, self.rank + 1, True
        again.rank_in = self.rank_in + 1
        return again

    def one(self, weight: Array, x: Array) -> Array:
        """Apply the module to one example."""
        return _with_field(self._module, "weight", weight)(x)

    def __call__(self, x: Array, weight: Array) -> Array:
        rows = self.one
        for _ in range(1 + self._places):
            rows = jax.vmap(rows, in_axes=(None, 0))
        letters = iter(string.ascii_letters)
        ranks = (self._weight_ndim, 1 + self._places + self._in_ndim, self.rank)
        axes = ["(" + ",".join(next(letters) for _ in range(rank)) + ")" for rank in ranks]
        signature = f"{axes[0]},{axes[1]}->{axes[2]}"
        return jnp.vectorize(rows, signature=signature)(weight, x)

    def square(self, x: Array) -> Array:
        return jnp.square(x) if self.is_dense else x

    def flip(self, x: Array, signs: Array) -> Array:
        return x * signs if self.is_dense else x

    def signs_in(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._signs(shape, self._in_ndim)

    def signs_out(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._signs(shape, self._out_ndim)

    def _signs(self, shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
        """One sign per row and channel, the same at all positions and pixels."""
        example = shape[len(shape) - ndim :]
        rows = shape[: len(shape) - ndim - self._places]
        return rows + (1,) * self._places + example[:1] + (1,) * (len(example) - 1)


def _with_field(module: Any, name: str, value: Any) -> Any:
    """A copy of `module` with another value in the field `name`, static or not."""
    copy = object.__new__(type(module))
    for key, old in vars(module).items():
        object.__setattr__(copy, key, old)
    object.__setattr__(copy, name, value)
    return copy


class Rows:
    """The maps of one call: over plates, then over rows, then the module's own.

    `row`, the index of the row, identifies the map over rows: the module's own maps, for
    example over the positions of a sequence, do not map it. In a batch ensemble there is a map
    over members between those over plates and over rows; members share the weight, so the
    product treats the rows of all members as rows.
    """

    def __init__(self, plates: int, has_members: bool = False) -> None:
        self.plates = plates
        self.has_members = has_members
        self._outside = get_opaque_trace_state()

    def is_outside(self) -> bool:
        """Whether values here belong to the program of the handlers."""
        return get_opaque_trace_state() == self._outside

    def apply(
        self, op: Weighted, site: Site, weight: Array, x: Array, row: Int[Array, ""]
    ) -> Array:
        """`op` at one example `x` of one cell of the plates."""
        return self._at_rows(op, op.one, site, weight, x, row)

    def _at_rows(
        self,
        op: Weighted,
        plain: Callable[[Array, Array], Array],
        site: Site,
        weight: Array,
        x: Array,
        row: Array,
    ) -> Array:
        if _is_differentiated(x):
            opaque(site, _UNREACHED)
            return plain(weight, x)

        @custom_vmap
        def product(weight: Array, x: Array, row: Array) -> Array:
            return plain(weight, x)

        @product.def_vmap
        def rule(
            size: int, is_mapped: list[bool], weight: Array, x: Array, row: Array
        ) -> tuple[Array, bool]:
            x = x if is_mapped[1] else jnp.broadcast_to(x, (size,) + jnp.shape(x))
            if is_mapped[2]:
                return self._at_members(op, site)(weight, x), True
            inner = jax.vmap(plain, in_axes=(None, 0))
            return self._at_rows(op.at_places(), inner, site, weight, x, row), True

        return product(weight, x, row)

    def _at_members(self, op: Weighted, site: Site) -> Callable[[Array, Array], Array]:
        at_plates = self._at_plates(op, site, self.plates)
        if not self.has_members:
            return at_plates

        @custom_vmap
        def product(weight: Array, x: Array) -> Array:
            return op(x, weight)

        @product.def_vmap
        def rule(
            size: int, is_mapped: list[bool], weight: Array, x: Array
        ) -> tuple[Array, bool]:
            x = x if is_mapped[1] else jnp.broadcast_to(x, (size,) + jnp.shape(x))
            out = at_plates(weight, x.reshape((size * x.shape[1],) + x.shape[2:]))
            return out.reshape((size, x.shape[1]) + out.shape[1:]), True

        return product

    def _at_plates(
        self, op: Weighted, site: Site, plates: int
    ) -> Callable[[Array, Array], Array]:
        if not plates:
            return functools.partial(self._send, op, site)

        @custom_vmap
        def product(weight: Array, x: Array) -> Array:
            return op(x, weight)

        @product.def_vmap
        def rule(
            size: int, is_mapped: list[bool], weight: Array, x: Array
        ) -> tuple[Array, bool]:
            x = x if is_mapped[1] else x[None]
            return self._at_plates(op, site, plates - 1)(weight, x), True

        return product

    def _send(self, op: Weighted, site: Site, weight: Array, x: Array) -> Array:
        if self.is_outside():
            return linear(x, site, op=op)
        opaque(site, _UNREACHED)
        return op(x, weight)


class Product:
    """The product of a linear module with its weight, the site `site`, for all rows at once."""

    def __init__(self, rows: Rows, module: Any, site: Site) -> None:
        self._rows = rows
        self._op = Weighted(module)
        self._site = site

    def at(self, weight: Array, own: Array, row: Array) -> "_Example":
        """The product for one example: the row `row` in one cell of the plates.

        It applies `own` where the module applies its `weight`; they are equal except in
        `used_of`.
        """
        return _Example(self, weight, own, row)

    def __call__(self, weight: Array, x: Array, row: Array) -> Array:
        return self._rows.apply(self._op, self._site, weight, x, row)

    def plain(self, weight: Array, x: Array) -> Array:
        """The product with another weight than the site's value, such as a part of it."""
        opaque(self._site, _UNREACHED)
        return self._op.one(weight, x)


class _Example:
    """A product with the weight and row of one example; not a pytree, so it is not flattened."""

    def __init__(self, product: Product, weight: Array, own: Array, row: Array) -> None:
        self._product, self._weight, self._own, self._row = product, weight, own, row

    def __call__(self, weight: Array, x: Array) -> Array:
        if weight is not self._weight:
            return self._product.plain(weight, x)
        return self._product(self._own, x, self._row)


class _Seen(eqx.Module):
    """Replaces a linear module for one example of a cell, visible to gradient estimators.

    In a batch ensemble `factors` are the two vectors of the member.
    """

    module: Any
    product: Callable[[Array, Array], Array] = eqx.field(static=True)
    factors: tuple[Array, ...] = ()

    def __call__(self, x: Array, *, key: Any = None) -> Array:
        if self.factors:
            x = scaled(x, self.factors[0])
        out = self.product(self.module.weight, x)
        if self.factors:
            out = scaled(out, self.factors[1])
        bias = getattr(self.module, "bias", None)
        return out if bias is None else jnp.reshape(out + bias, out.shape)

    def __getattr__(self, name: str) -> Any:
        if name == "module":  # not yet set during a copy
            raise AttributeError(name)
        return getattr(self.module, name)


def scaled(x: Array, by: Array) -> Array:
    """An example with each feature or channel multiplied by a number."""
    return x * by.reshape((-1,) + (1,) * (x.ndim - 1) if x.ndim else ())


def leaf_of(path: str, name: str) -> str:
    """The path of the leaf `name` of the module at `path`."""
    return f"{path}.{name}".lstrip(".")


def linear_modules(module: Any) -> dict[str, Any]:
    """The linear modules inside `module` (possibly itself), by path."""
    leaves = jax.tree_util.tree_leaves_with_path(module, is_leaf=is_linear)
    return {path_of(keys): leaf for keys, leaf in leaves if is_linear(leaf)}


def used_of(
    weights: Mapping[str, Any], one: Callable[..., Any], *arguments: Any
) -> list[str]:
    """The weights that a module uses in computations other than its linear maps.

    Examples are `equinox.nn.Shared` and penalties of weights. The module is traced again, with
    separate inputs for the weights that it reads and those that its products apply.

    Args:
        weights: The shapes of the weights by path.
        one: The module for one example, a function of `arguments` and of the weights that it
            reads.
        arguments: The shapes of its arguments.
    """
    jaxpr = jax.make_jaxpr(one)(*arguments, dict(weights)).jaxpr
    used = {id(var) for equation in jaxpr.eqns for var in equation.invars}
    used |= {id(var) for var in jaxpr.outvars}
    # The leaves of a dictionary are in sorted order of its names.
    last = jaxpr.invars[len(jaxpr.invars) - len(weights) :]
    return [p for p, var in zip(sorted(weights), last, strict=True) if id(var) in used]


def with_products(
    module: Any, products: Mapping[str, Product], values: Mapping[str, Array], row: Array
) -> Any:
    """`module` with its linear modules replaced by products that gradient estimators see.

    A module whose factors are among the values (``layers.0.r``) is one of a batch ensemble.
    """

    def seen(keys: Any, old: Any) -> Any:
        path = path_of(keys)
        factors = tuple(values[p] for p in (leaf_of(path, n) for n in "rs") if p in values)
        if path in products:
            own = values[leaf_of(path, "weight")]
            return _Seen(old, products[path].at(old.weight, own, row), factors)
        return _Seen(old, Weighted(old).one, factors) if factors else old

    return jax.tree_util.tree_map_with_path(seen, module, is_leaf=is_linear)
