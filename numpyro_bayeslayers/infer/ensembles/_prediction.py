"""Predictions of all members, streamed over rows."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import PyTree

from ... import _checks
from ..._typing import Params
from ..training._inputs import as_data, row_count


def ensemble_predict(
    params_stacked: Params,
    predict_fn: Callable[[Params, PyTree], PyTree],
    x_new: PyTree,
    *,
    batch_size: int | None = None,
) -> PyTree:
    """Predict with every member, optionally a block of rows at a time.

    The first call with a `predict_fn` and shapes compiles; give the same function again,
    not a new lambda, and later calls do not.

    Args:
        params_stacked: Parameters of all members: ``result.params``.
        predict_fn: ``predict_fn(params, x) -> predictions`` of one member.
        x_new: Rows to predict: an array or a pytree of arrays with one row count.
        batch_size: Rows at a time, at least 1. Beside its result the computation then
            holds what `batch_size` rows need in each member. All rows at once if None.

    Returns:
        What `predict_fn` returns, each array with a first axis of members; with
        `batch_size`, the arrays of one member must have the rows first.

    Raises:
        TypeError: If `predict_fn` cannot be called or `batch_size` is no integer.
        ValueError: If `batch_size` is below 1, the arrays of `x_new` differ in rows,
            those of `params_stacked` in members, or predictions do not have the rows first.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = jnp.ones((4, 3))
        >>> predict = lambda w, x: x @ w
        >>> ensemble_predict(weights, predict, jnp.ones((10, 3)), batch_size=4).shape
        (4, 10)
    """
    _checks.function("predict_fn", predict_fn)
    if batch_size is not None:
        _checks.size("batch_size", batch_size)
    x_new = jax.tree.map(jnp.asarray, as_data(x_new=x_new)["x_new"])
    num_rows = row_count(x_new=x_new)
    if batch_size is not None and batch_size >= num_rows:
        batch_size = None
    _member_count(params_stacked)
    return _predict(params_stacked, predict_fn, x_new, batch_size)


def _member_count(params_stacked: Params) -> int:
    arrays = [leaf for leaf in jax.tree.leaves(params_stacked) if eqx.is_array(leaf)]
    counts = {leaf.shape[0] if leaf.ndim else None for leaf in arrays}
    if len(counts) != 1 or None in counts:
        shapes = ", ".join(str(leaf.shape) for leaf in arrays)
        raise ValueError(
            "The arrays in `params_stacked` must all lead with one axis of members, got "
            f"shapes {shapes or 'none'}."
        )
    return arrays[0].shape[0]


@eqx.filter_jit
def _predict(
    params: Params,
    predict_fn: Callable[[Params, PyTree], PyTree],
    x: PyTree,
    batch_size: int | None,
) -> PyTree:
    arrays, shared = eqx.partition(params, eqx.is_array)

    # Traced once, although its output's shape is asked for before the loop is built.
    @jax.jit
    def members(x: PyTree) -> PyTree:
        return jax.vmap(lambda member: predict_fn(eqx.combine(member, shared), x))(arrays)

    if batch_size is None:
        return members(x)
    num_members, num_rows = _member_count(params), row_count(x_new=x)

    def block(start: Any) -> PyTree:
        cut = jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, batch_size), x)
        return members(cut)

    def write(i: Any, out: PyTree) -> PyTree:
        # The last block is moved back to be full; what overlaps is written twice, alike.
        start = jnp.minimum(i * batch_size, num_rows - batch_size)
        return jax.tree.map(
            lambda o, b: lax.dynamic_update_slice_in_dim(o, b, start, axis=1),
            out,
            block(start),
        )

    def empty(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if leaf.shape[:2] != (num_members, batch_size):
            raise ValueError(
                f"With `batch_size`, `predict_fn` must return one row for each of the "
                f"{batch_size} rows it is given, got shape {leaf.shape[1:]}. Give no "
                "`batch_size` if rows do not come first."
            )
        return jnp.zeros((num_members, num_rows, *leaf.shape[2:]), leaf.dtype)

    out = jax.tree.map(empty, jax.eval_shape(block, 0))
    return lax.fori_loop(0, math.ceil(num_rows / batch_size), write, out)
