"""The arguments of a model: rows of data, other arrays, and constants."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ... import _checks
from ..compilation._jit import Frame, is_dynamic
from ._inputs import as_data, named_leaves


class Arguments(NamedTuple):
    """Positional and keyword arguments, split by kind.

    Args:
        rows: The arrays with one entry per row of the data, None for other leaves.
        shared: All other arrays, None for other leaves.
        frame: Everything that is not an array, a constant of the compiled program.
    """

    rows: list[Any]
    shared: list[Any]
    frame: Frame

    @property
    def num_rows(self) -> int | None:
        """The number of rows, or None if there is no array of rows."""
        return next((len(x) for x in self.rows if x is not None), None)


def as_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a model, in a form whose values JAX keeps; see `as_data`."""
    named = as_data(**{f"argument {i}": value for i, value in enumerate(args)}, **kwargs)
    given = tuple(named.pop(f"argument {i}") for i in range(len(args)))
    return given, named


def take_apart(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Split the arguments of a model by kind.

    Row arrays are those whose first axis has the length of that of the first array with an
    axis. Numbers, strings and None are constants of the program: another value compiles again.

    Raises:
        TypeError: If an argument is a table, or an array of dates or strings.
        ValueError: If an array has masked entries, or there are no rows.
    """
    tree = as_arguments(args, kwargs)
    arrays = [_array(leaf) if is_dynamic(leaf) else None for leaf in jax.tree.leaves(tree)]
    length = next((x.shape[0] for x in arrays if x is not None and x.ndim), None)
    if length == 0:
        raise ValueError("The data must have at least one row, got none.")
    is_row = [x is not None and x.ndim > 0 and x.shape[0] == length for x in arrays]
    rows = [x if row else None for x, row in zip(arrays, is_row, strict=True)]
    shared = [None if row else x for x, row in zip(arrays, is_row, strict=True)]
    return Arguments(rows, shared, Frame(tree))


def _array(leaf: Any) -> Any:
    """The leaf as a JAX array, without compiling a program as `jnp.asarray` may do."""
    if isinstance(leaf, np.ndarray):
        return jax.device_put(leaf)
    return leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)


def put_together(rows: list[Any], shared: list[Any], frame: Frame) -> PyTree:
    """The pair (args, kwargs) of arguments that were split."""
    arrays = [s if r is None else r for r, s in zip(rows, shared, strict=True)]
    return frame.fill(arrays)


def check_finite(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Check that no array has NaN or infinite entries."""
    named = {f"argument {i}": value for i, value in enumerate(args)} | kwargs
    for name, leaf in named_leaves(**named).items():
        if is_dynamic(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact):
            _checks.no_nan(name, leaf)


def beside_params(params: PyTree, *data: PyTree) -> Arguments:
    """The arguments of a function of parameters, which are not rows, and of data, which are."""
    tree = ((params, *data), {})
    of_params = len(jax.tree.leaves(params))
    arrays = [jnp.asarray(a) if is_dynamic(a) else None for a in jax.tree.leaves(tree)]
    rows = [None if i < of_params else a for i, a in enumerate(arrays)]
    shared = [a if i < of_params else None for i, a in enumerate(arrays)]
    return Arguments(rows, shared, Frame(tree))


def on_shapes(
    fn: Callable[[tuple[Any, ...], dict[str, Any]], Any], parts: Arguments, rows: int
) -> Any:
    """Trace ``fn(args, kwargs)`` with the shapes of the arguments for `rows` rows.

    Nothing is computed: arrays are tracers, which must not leak from `fn`.
    """

    def resized(x: Any) -> Any:
        return None if x is None else jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype)

    def on_arrays(rows: list[Any], shared: list[Any]) -> Any:
        return fn(*put_together(rows, shared, parts.frame))

    return jax.eval_shape(on_arrays, [resized(x) for x in parts.rows], parts.shared)


def merged(parts: Arguments) -> list[Any]:
    """Row and shared arrays in one list, for steps on all rows."""
    return [s if r is None else r for r, s in zip(parts.rows, parts.shared, strict=True)]


def part_size(batch_size: int | None, num_rows: int | None) -> int | None:
    """The number of rows of a minibatch, or None for all rows."""
    if batch_size is None:
        return None
    batch_size = _checks.size("batch_size", batch_size)
    if num_rows is None:
        raise ValueError("`batch_size` needs arrays of rows among the arguments, got none.")
    return None if batch_size >= num_rows else batch_size


def part_scale(num_rows: int, in_batch: int | None) -> float:
    """The number of rows of the data per row of a batch."""
    num_rows = _checks.size("num_rows", num_rows)
    if in_batch is None or not 0 < in_batch <= num_rows:
        raise ValueError(
            f"`num_rows` must be at least the number of rows of the batch, {in_batch}, got "
            f"{num_rows}."
        )
    return num_rows / in_batch
