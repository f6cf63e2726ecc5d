"""The loop that trains an ensemble, whatever its members are.

It drives a pure ``step(state, batch, shared, scale) -> (state, losses)``: `batch` holds rows
of the data, `shared` what all steps see whole, `scale` is the number of rows of the data for
each row of the batch, `losses` has one entry for each member. Steps run on the device in
chunks, one call each; between chunks the progress bar is refreshed, and only then does the
host wait. A chunk's bounds are values of the program, not part of it, so one compilation
serves any number of steps.

Minibatches come from one permutation of the rows for each pass over the data. It depends on
the key and the number of the pass alone, so a loop that starts at any step goes on as if it
had never stopped. The rows that do not fill a batch are left out of that pass.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32, PyTree
from tqdm.auto import tqdm

from ... import _checks, _processes
from ..._typing import PRNGKey
from ._effort import effort, options
from ._jit import Frame, is_dynamic, jit_on_arrays
from ._layout import HERE, Layout
from ._recent import Recent, shapes_of

Step = Callable[[PyTree, PyTree, PyTree, Any], tuple[PyTree, Array]]
Losses = Callable[[], np.ndarray]
# Sees the state, the number of steps, and what gives the losses so far, (members, steps). Gives
# the state to go on from, and whether the run ends.
OnChunk = Callable[[PyTree, int, Losses], tuple[PyTree, bool]]

# The most steps of one chunk: the size of its buffer of losses. The device runs ahead of the
# host by two chunks at most.
CHUNK = 1024
REFRESHES = 20


class Shuffle(NamedTuple):
    """The order of the rows in one pass over the data; `number` is -1 before the first."""

    number: Int32[Array, ""]
    order: Int32[Array, " n"]


class TrainingLoop:
    """Runs `step` many times; compiled once for each shape of state, data and batch.

    A long run is compiled more dearly than a short one, see `_effort`.

    Args:
        step: ``step(state, batch, shared, scale) -> (state, losses)``, pure.
        layout: Where members and rows are.
    """

    def __init__(self, step: Step, layout: Layout = HERE) -> None:
        self._layout = layout

        def chunk(
            carry: Any, data: Any, key: Any, start: Any, stop: Any, *, batch_size: Any
        ) -> Any:
            return _chunk(step, layout, carry, *data, key, start, stop, batch_size)

        jit = functools.partial(jit_on_arrays, donate=True, static=("batch_size",))
        self._compiled: Recent[Any] = Recent()
        self._compile = lambda level: jit(chunk, options=options(level))

    def run(
        self,
        state: PyTree,
        data: PyTree,
        num_steps: int,
        *,
        key: PRNGKey,
        shared: PyTree = (),
        batch_size: int | None = None,
        progress_bar: bool = True,
        before: np.ndarray | None = None,
        taken: int = 0,
        periods: Sequence[int] = (),
        on_chunk: OnChunk | None = None,
    ) -> tuple[PyTree, Float[Array, "e t"]]:
        """Take steps until there are `num_steps`.

        Args:
            state: Where to start. Its buffers are reused: it is spent afterwards.
            data: A pytree of arrays with one row count, the rows of minibatches.
            num_steps: The number of steps, those of an earlier run included.
            key: Decides the order of the rows.
            shared: A pytree of arrays that each step sees whole.
            batch_size: Rows in a batch; all rows if None or at least their number.
            progress_bar: Whether to show progress and the mean loss over members.
            before: The losses of the steps that `state` has taken already, (members, steps).
            taken: The steps of earlier runs, which have seen the first rows of the order.
            periods: A chunk ends after each multiple of one of these numbers of steps.
            on_chunk: Looks at the state between chunks, and may end the run. It must copy
                what it keeps: the buffers are reused.

        Returns:
            The last state, and the losses of each member at each step.
        """
        progress_bar = _checks.switch("progress_bar", progress_bar)
        rows = jax.tree.leaves(data)
        num_rows = rows[0].shape[0] if rows else 0
        shuffle = None
        if batch_size is not None and batch_size >= num_rows:
            batch_size = None
        if batch_size is not None:
            none = np.int32(-1), np.zeros(num_rows, np.int32)
            shuffle = Shuffle(*self._layout.all_over(jax.device_put(none)))
        length = min(max(num_steps // REFRESHES, 1), CHUNK) if progress_bar else CHUNK
        chunks = [] if before is None else [(before.T, before.shape[1])]
        first = sum(n for _, n in chunks)
        carry = (state, shuffle)
        seen = batch_size or max((len(x) for x in _arrays((data, shared))), default=1)
        level = effort(num_steps, seen, state)
        kind = level, batch_size, shapes_of(data, shared)
        run_chunk = self._compiled.get(kind, lambda: self._compile(level))
        shown = {"initial": first, "desc": "compiling"}
        shown = shown if _is_seen(progress_bar) else {"disable": True}
        losing_none = _processes.losing_none(shared=self._layout.is_shared)
        with losing_none, tqdm(total=num_steps, **shown) as bar:
            stop = first
            while stop < num_steps:
                start = stop
                ends = [start + length, *(start - start % p + p for p in periods)]
                stop = min(num_steps, *ends)
                at = taken + start, taken + stop
                carry, losses = run_chunk(
                    carry, (data, shared), key, *at, batch_size=batch_size
                )
                chunks.append((losses, stop - start))
                # The device has one chunk to go on with, and no more: Ctrl-C ends it soon.
                jax.block_until_ready([losses for losses, _ in chunks[-2:-1]])
                if not bar.disable:
                    bar.set_description_str(refresh=False)
                    _refresh(bar, chunks, start, stop)
                if on_chunk is not None:
                    state, is_end = on_chunk(carry[0], stop, lambda: _join(chunks))
                    carry = (state, carry[1])
                    if is_end:
                        break
        return carry[0], jax.device_put(_join(chunks))


def saying(text: str, progress_bar: bool) -> tqdm:
    """A line that is shown while the block that it opens runs."""
    shown = {} if _is_seen(progress_bar) else {"disable": True}
    return tqdm(desc=text, bar_format="{desc}", leave=False, **shown)


def _is_seen(progress_bar: bool) -> bool:
    """Of several processes, one shows the progress."""
    return progress_bar and _processes.is_first()


def _arrays(tree: PyTree) -> list[Array]:
    """The arrays that have an axis."""
    return [x for x in jax.tree.leaves(tree) if is_dynamic(x) and x.ndim]


def _join(chunks: list[tuple[Any, int]]) -> np.ndarray:
    """The losses of all chunks, (members, steps).

    On the host: cutting and joining on the device would compile a small program for each
    number of steps.
    """
    return np.ascontiguousarray(np.concatenate([np.asarray(c)[:n] for c, n in chunks]).T)


def _chunk(
    step: Step,
    layout: Layout,
    carry: tuple[PyTree, Shuffle | None],
    data: PyTree,
    shared: PyTree,
    key: PRNGKey,
    start: Any,
    stop: Any,
    batch_size: int | None,
) -> tuple[tuple[PyTree, Shuffle | None], Array]:
    """Steps `start` to `stop`, and a buffer with their losses in its first rows."""
    state, shuffle = carry
    start, stop = jnp.asarray(start, jnp.int32), jnp.asarray(stop, jnp.int32)
    rows = jax.tree.leaves(data)
    num_rows = rows[0].shape[0] if rows else 0
    scale = 1.0 if batch_size is None else num_rows / batch_size
    frame = Frame(state)

    # Traced once, although its output's shape is asked for before the loop is built.
    @jax.jit
    def take_step(arrays: list[Any], batch: PyTree) -> tuple[list[Any], Array]:
        state, losses = step(frame.fill(arrays), batch, shared, scale)
        return frame.arrays(state), losses

    def steps(begin: Any, end: Any, batch_at: Callable[[Any], PyTree], carry: Any) -> Any:
        def body(i: Any, carry: Any) -> Any:
            arrays, buffer = carry
            arrays, losses = take_step(arrays, batch_at(i))
            buffer = layout.keep_along(buffer.at[i - start].set(losses))
            return arrays, buffer

        return lax.fori_loop(begin, end, body, carry)

    arrays = frame.arrays(state)
    some = np.zeros(num_rows if batch_size is None else batch_size, np.int32)
    _, losses = jax.eval_shape(lambda: take_step(arrays, _take(data, some)))
    buffer = jnp.zeros((CHUNK, *losses.shape), losses.dtype)

    if batch_size is None:
        arrays, buffer = steps(start, stop, lambda i: data, (arrays, buffer))
        return (frame.fill(arrays), None), layout.keep_whole(buffer)

    steps_in_pass = num_rows // batch_size

    def one_pass(carry: Any) -> Any:
        i, shuffle, inner = carry
        number = i // steps_in_pass
        # A pass that an earlier chunk began goes on in its order, without another sort.
        shuffle = lax.cond(
            shuffle.number == number,
            lambda: shuffle,
            lambda: _shuffle(key, number, num_rows),
        )
        first = number * steps_in_pass
        end = jnp.minimum(stop, first + steps_in_pass)

        def batch_at(i: Any) -> PyTree:
            at = (i - first) * batch_size
            rows = lax.dynamic_slice_in_dim(shuffle.order, at, batch_size)
            return layout.split(_take(data, rows))

        return end, shuffle, steps(i, end, batch_at, inner)

    _, shuffle, (arrays, buffer) = lax.while_loop(
        lambda carry: carry[0] < stop, one_pass, (start, shuffle, (arrays, buffer))
    )
    shuffle = layout.keep_whole(shuffle)
    return (frame.fill(arrays), shuffle), layout.keep_whole(buffer)


def _shuffle(key: PRNGKey, number: Int32[Array, ""], num_rows: int) -> Shuffle:
    """The order of the rows in pass `number`."""
    key = jax.random.fold_in(key, number)
    return Shuffle(
        number, jax.random.permutation(key, jnp.arange(num_rows, dtype=jnp.int32))
    )


def _take(data: PyTree, rows: Any) -> PyTree:
    return jax.tree.map(lambda a: a.at[rows].get(mode="promise_in_bounds"), data)


def _refresh(bar: tqdm, chunks: list[tuple[Any, int]], start: int, stop: int) -> None:
    """Show the mean over members of the first loss and of the last chunk's losses."""
    means = []
    for losses in (np.asarray(chunks[0][0])[:1], np.asarray(chunks[-1][0])[: stop - start]):
        finite = losses[np.isfinite(losses)]
        means.append(finite.mean() if finite.size else np.nan)
    bar.set_postfix_str(
        f"init loss: {means[0]:.4f}, avg. loss [{start + 1}-{stop}]: {means[1]:.4f}",
        refresh=False,
    )
    bar.update(stop - start)


def warn_non_finite(
    params: PyTree, losses: Float[Array, "e t"], *, stacklevel: int = 3
) -> None:
    """Name the members whose losses or final parameters are not finite, in one warning."""
    is_bad = ~np.isfinite(np.asarray(losses))
    first = {int(e): int(is_bad[e].argmax()) for e in np.flatnonzero(is_bad.any(axis=1))}
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact):
            values = _processes.whole(leaf).reshape(is_bad.shape[0], -1)
            for member in np.flatnonzero(~np.isfinite(values).all(axis=1)):
                # All losses were finite, so it was the last update that went wrong.
                first.setdefault(int(member), is_bad.shape[1] - 1)
    if first:
        named = ", ".join(f"member {e} from step {t}" for e, t in sorted(first.items()))
        warnings.warn(
            f"Of {is_bad.shape[0]} members, these are not finite (steps count from 0): "
            f"{named}. The others are not affected. Lower the learning rate, clip the "
            "gradients, or change the seed.",
            stacklevel=stacklevel,
        )
