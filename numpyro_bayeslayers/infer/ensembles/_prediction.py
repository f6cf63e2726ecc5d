"""Predictions of all members, optionally in blocks of rows."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
from jax import lax
from jaxtyping import PyTree
from numpyro.handlers import block

from ... import _checks
from ..._threads import ALONE
from ..._typing import Params
from ..compilation._jit import Frame
from ..rows._arguments import beside_params
from ..rows._inputs import as_data, row_count
from ..rows._row_terms import row_terms
from ..rows._rows import refuse_joint
from ..rows._spread import moved


def ensemble_predict(
    params_stacked: Params,
    predict_fn: Callable[[Params, PyTree], PyTree],
    x_new: PyTree,
    *,
    batch_size: int | None = None,
) -> PyTree:
    """Predict with every member, optionally in blocks of rows.

    The first call for a `predict_fn` and shapes compiles; later calls do not, if they pass the
    same function and not a new lambda.

    Args:
        params_stacked: Parameters of all members: ``result.params``.
        predict_fn: ``predict_fn(params, x) -> predictions`` of one member.
        x_new: Rows to predict: an array or a pytree of arrays with the same number of rows.
        batch_size: Number of rows at a time, at least 1; all rows at once if None. Besides the
            result, memory is then needed for `batch_size` rows per member. A few rows are
            compared first, to check that their predictions do not depend on other rows.

    Returns:
        The output of `predict_fn`, each array with a leading axis of members. With
        `batch_size`, the first axis of each array of one member must be the rows.

    Raises:
        TypeError: If `predict_fn` is not callable or `batch_size` is not an integer.
        ValueError: If `batch_size` is below 1, the arrays of `x_new` differ in rows or those of
            `params_stacked` in members, or, with `batch_size`, predictions do not have the rows
            first or depend on other rows.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = jnp.ones((4, 3))
        >>> predict = lambda w, x: x @ w
        >>> ensemble_predict(weights, predict, jnp.ones((10, 3)), batch_size=4).shape
        (4, 10)
    """
    with ALONE:
        _checks.function("predict_fn", predict_fn)
        if batch_size is not None:
            _checks.size("batch_size", batch_size)
        x_new = jax.tree.map(jnp.asarray, as_data(x_new=x_new)["x_new"])
        num_rows = row_count(x_new=x_new)
        if batch_size is not None and batch_size >= num_rows:
            batch_size = None
        _member_count(params_stacked)
        if batch_size is not None:
            _check_blocks(params_stacked, predict_fn, x_new, batch_size)
        return _predict(params_stacked, predict_fn, x_new, batch_size)


# The kinds of predictions already checked; bounded in size.
_looked_at: set[Any] = set()
_MOST_KINDS = 256


def _check_blocks(
    params: Params, predict_fn: Callable[[Params, PyTree], PyTree], x: PyTree, size: int
) -> None:
    """Check once per kind of prediction that rows can be split into blocks."""

    def model(stacked: Params, x: PyTree) -> None:
        first = jax.tree.map(lambda a: a[0] if eqx.is_array(a) else a, stacked)
        with block():  # its own sites are hidden
            found = predict_fn(jax.tree.map(moved, first), x)
        for path, leaf in jax.tree_util.tree_leaves_with_path(found):
            numpyro.deterministic(f"predict_fn{jax.tree_util.keystr(path)}", leaf)

    kind = Frame((params, predict_fn, x))
    if kind in _looked_at:
        return
    terms = row_terms(model, beside_params(params, x), size)
    if terms is None:
        return
    of_rows = {name: term for name, term in terms.items() if term.grows}
    refuse_joint("Predictions in blocks of rows would differ", of_rows)
    if len(_looked_at) >= _MOST_KINDS:
        _looked_at.clear()
    _looked_at.add(kind)


def _member_count(params_stacked: Params) -> int:
    arrays = [leaf for leaf in jax.tree.leaves(params_stacked) if eqx.is_array(leaf)]
    counts = {leaf.shape[0] if leaf.ndim else None for leaf in arrays}
    if len(counts) != 1 or None in counts:
        shapes = ", ".join(str(leaf.shape) for leaf in arrays)
        raise ValueError(
            "The arrays in `params_stacked` must all have the same first axis, that of the "
            f"members, got shapes {shapes or 'none'}."
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

    # Under jit it is traced once, although the shape of its output is needed before the loop.
    @jax.jit
    def members(x: PyTree) -> PyTree:
        return jax.vmap(lambda member: predict_fn(eqx.combine(member, shared), x))(arrays)

    if batch_size is None:
        return members(x)
    num_members, num_rows = _member_count(params), row_count(x_new=x)

    def rows_from(start: Any) -> PyTree:
        cut = jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, batch_size), x)
        return members(cut)

    def write(i: Any, out: PyTree) -> PyTree:
        # The last block is shifted back to be full; overlapping rows are written twice with
        # equal values.
        start = jnp.minimum(i * batch_size, num_rows - batch_size)
        return jax.tree.map(
            lambda o, b: lax.dynamic_update_slice_in_dim(o, b, start, axis=1),
            out,
            rows_from(start),
        )

    def empty(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if leaf.shape[:2] != (num_members, batch_size):
            raise ValueError(
                "With `batch_size`, `predict_fn` must return one row for each of the "
                f"{batch_size} input rows, got shape {leaf.shape[1:]}. Leave out `batch_size` "
                "if rows are not the first axis."
            )
        return jnp.zeros((num_members, num_rows, *leaf.shape[2:]), leaf.dtype)

    out = jax.tree.map(empty, jax.eval_shape(rows_from, 0))
    return lax.fori_loop(0, math.ceil(num_rows / batch_size), write, out)
