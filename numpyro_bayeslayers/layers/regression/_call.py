"""How regression layers are called: `layer(name, data..., units=1, activation=identity)`."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Integer, Num

from ... import _checks
from ..._base import on_rows
from ...primitives import NewGroups, categories, effect, scope, when_known

Activation: TypeAlias = Callable[[Array], Array]
Call = TypeVar("Call", bound=Callable[..., Any])

_SIZES = (
    "units",
    "low_rank_dim",
    "num_categories",
    "num_times",
    "embedding_dim",
    "head_dim",
    "num_heads",
    "num_harmonics",
    "order",
)


def identity(x: Array) -> Array:
    """Return `x` unchanged."""
    return x


def named(call: Call) -> Call:
    """Prefix the sites of a layer's call with its first argument, the name.

    Arguments that are sizes, and the activation, are checked; they are recognized by name.
    """
    signature = inspect.signature(call)

    @functools.wraps(call)
    def below_name(self: eqx.Module, name: str, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(name, str) or not name:
            given = (
                "''" if isinstance(name, str) else f"a value of type {type(name).__name__}"
            )
            raise TypeError(
                f"`name` must be a string that is not empty, got {given}. Call the "
                "layer as `layer('price', x)`; its sites are then 'price....'."
            )
        found = signature.bind(self, name, *args, **kwargs).arguments
        for size in _SIZES:
            if size in found:
                _checks.size(size, found[size])
        if "activation" in found:
            _checks.function("activation", found["activation"])
        with scope(prefix=name):
            value = call(self, name, *args, **kwargs)
        effect(name, value)
        return value

    return below_name  # ty: ignore[invalid-explicit-return]


def columns(name: str, x: ArrayLike) -> Float[Array, "*batch n d"]:
    """`x` as a matrix of rows; a vector is one column."""
    x = _checks.array(name, x)
    if not x.ndim:
        raise ValueError(f"`{name}` must have a row axis, got a single number.")
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        x = x.astype(jnp.result_type(float))
    return x[:, None] if x.ndim == 1 else x


def on_columns(
    forward: Callable[[Array], Array], x: Num[ArrayLike, "..."]
) -> Float[Array, "*rest n u"]:
    """Apply `forward`, a function of (*plates, n, d), to the columns of `x`."""
    x = columns("x", x)
    return on_rows(forward, x, x.shape[-1])


def on_pairs(
    forward: Callable[[Array, Array], Array],
    x: Num[ArrayLike, "..."],
    z: Num[ArrayLike, "..."],
) -> Float[Array, "*rest n u"]:
    """Apply `forward`, a function of (*plates, n, d1) and (*plates, n, d2), row by row."""
    x, z = columns("x", x), columns("z", z)
    if x.shape[-2] != z.shape[-2]:
        raise ValueError(
            f"`z` must have one row for each row of `x`, got shapes {z.shape} and {x.shape}."
        )
    batch, d = jnp.broadcast_shapes(x.shape[:-1], z.shape[:-1]), x.shape[-1]
    both = [jnp.broadcast_to(a, batch + a.shape[-1:]) for a in (x, z)]
    rows = jnp.concatenate(both, axis=-1)
    return on_rows(lambda r: forward(r[..., :d], r[..., d:]), rows, rows.shape[-1])


def on_categories(
    forward: Callable[[Array], Array],
    x: Integer[ArrayLike, "..."],
    num_categories: int,
    name: str = "x",
) -> Float[Array, "*rest n m"]:
    """Apply `forward`, a function of indices (*plates, n), to `x` of shape (*batch, n)."""
    index = checked_categories(x, num_categories, name)
    return on_rows(lambda rows: forward(rows[..., 0]), index[..., None], 1)


def on_groups(
    forward: Callable[[Array, NewGroups | None], Array],
    x: Integer[ArrayLike, "..."],
    num_categories: int,
) -> Float[Array, "*rest n m"]:
    """As `on_categories`, for a layer whose categories are a sample of a population.

    `forward` also receives the categories that were not fitted, usually None. If there are
    some, the indices of rows may exceed the number of fitted categories by their number.
    """
    index, new = looked_up("x", x, num_categories)
    return on_rows(lambda rows: forward(rows[..., 0], new), index[..., None], 1)


def checked_categories(
    x: ArrayLike, num_categories: int, name: str = "x"
) -> Integer[Array, "*batch n"]:
    """Indices checked to be in range: now if they are known, otherwise when the program runs."""
    index, new = looked_up(name, x, num_categories)
    if new is not None:
        raise ValueError(_NO_POPULATION)
    return index


def looked_up(
    name: str, x: ArrayLike, num_categories: int
) -> tuple[Integer[Array, "*batch n"], NewGroups | None]:
    """Indices checked to be in range, and the categories among them that were not fitted."""
    index = _checks.array(name, x)
    if index.dtype == bool:
        index = index.astype(int)
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise TypeError(
            f"`{name}` must hold categories, integers from 0 to {num_categories - 1}, got an array "
            f"of type {index.dtype}. `fit` makes integers of words; elsewhere number them by "
            "one list of levels: `pandas.Categorical(x, categories=levels).codes`."
        )
    if not index.ndim:
        raise ValueError(f"`{name}` must have a row axis, got a single number.")
    new = categories(index, num_categories)
    if new is not None:
        index, num_categories = new.index, num_categories + new.count
    check = functools.partial(_check_categories, name=name, num_categories=num_categories)
    when_known(index, check)
    if isinstance(index, jax.core.Tracer):
        outside = jnp.any((index < 0) | (index >= num_categories))
        text = _OUTSIDE.format(name, num_categories - 1, "", "others")
        return eqx.error_if(index, outside, text), new
    return index, new


def _check_categories(x: np.ndarray, of: str, name: str, num_categories: int) -> None:
    wrong = np.unique(x[(x < 0) | (x >= num_categories)])
    if wrong.size:
        raise ValueError(_OUTSIDE.format(name, num_categories - 1, of, wrong[:5].tolist()))


_NO_POPULATION = (
    "`new_levels` is for layers whose categories are a sample of a population, "
    "RandomEffectsLayer, RandomSlopesLayer and EmbeddingLayer, but the new levels are given to "
    "another layer. Drop such rows."
)
_OUTSIDE = (
    "`{}` must hold categories from 0 to {} (below `num_categories`{}), got {}. Raise "
    "`num_categories`, or assign rows of new categories to a separate category."
)
