"""The training loop of ensembles, for any kind of members.

It calls a pure ``step(state, batch, shared, scale) -> (state, losses)``: `batch` has rows of
the data, `shared` the arrays that all steps use as a whole, `scale` is the number of rows of
the data per row of the batch, and `losses` has one entry per member. Steps run on the device in
chunks, one call each; between chunks the progress bar is updated, and only then does the host
wait. The bounds of a chunk are inputs of the program and not constants, so it is compiled once
for any number of steps.

Minibatches are taken from a permutation of the rows in each pass over the data. It depends only
on the key and the index of the pass, so a loop can resume at any step as if it had never
stopped. Rows that do not fill a batch are left out of that pass.
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
from ..compilation._effort import effort, options
from ..compilation._jit import Frame, is_dynamic, jit_on_arrays
from ..compilation._recent import Recent, shapes_of
from ..rows._layout import HERE, Layout
from ._losses import Losses

Step = Callable[[PyTree, PyTree, PyTree, Any], tuple[PyTree, Array]]
# Sees the state, the number of steps, and the losses so far. Gives the state to go on from, and
# whether the run ends.
OnChunk = Callable[[PyTree, int, Losses], tuple[PyTree, bool]]

# The largest number of steps per chunk, the size of its buffer of losses. The device runs ahead
# of the host by at most two chunks.
CHUNK = 1024
REFRESHES = 20


class Shuffle(NamedTuple):
    """The order of rows in one pass over the data; `number` is -1 before the first."""

    number: Int32[Array, ""]
    order: Int32[Array, " n"]


class TrainingLoop:
    """Runs `step` repeatedly; compiled once for each shape of state, data and batch.

    Long runs are compiled with more effort than short ones, see `_effort`.

    Args:
        step: ``step(state, batch, shared, scale) -> (state, losses)``, pure.
        layout: The placement of members and rows on devices.
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
        """Take steps until their total number is `num_steps`.

        Args:
            state: The initial state. Its buffers are donated, so it cannot be used afterwards.
            data: A pytree of arrays with the same number of rows, from which minibatches are
                taken.
            num_steps: The number of steps, including those in `before`.
            key: The random key of the order of rows.
            shared: A pytree of arrays that each step uses as a whole.
            batch_size: The number of rows per batch; all rows if None or at least their number.
            progress_bar: Whether to show progress and the mean loss over members.
            before: The losses of the steps that `state` has already taken, (members, steps).
            taken: The number of steps of earlier runs, which used the first rows of the order.
            periods: Chunks end at multiples of each of these numbers of steps.
            on_chunk: Called between chunks; can end the run. It must copy what it stores, since
                the buffers are reused.

        Returns:
            The last state, and the loss of each member at each step.
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
        first = 0 if before is None else before.shape[1]
        known = Losses(num_steps, before)
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
                known.add(losses, stop - start)
                known.wait_for_all_but_last()  # so that Ctrl-C ends it soon
                if not bar.disable:
                    bar.set_description_str(refresh=False)
                    _refresh(bar, known.first, losses, start, stop)
                if on_chunk is not None:
                    state, is_end = on_chunk(carry[0], stop, known)
                    carry = (state, carry[1])
                    if is_end:
                        break
        return carry[0], jax.device_put(known.so_far())


def saying(text: str, progress_bar: bool) -> tqdm:
    """A line of text that is shown while a block runs."""
    shown = {} if _is_seen(progress_bar) else {"disable": True}
    return tqdm(desc=text, bar_format="{desc}", leave=False, **shown)


def _is_seen(progress_bar: bool) -> bool:
    """Whether to show progress: in a distributed run, only one process does."""
    return progress_bar and _processes.is_first()


def _arrays(tree: PyTree) -> list[Array]:
    """The arrays with at least one axis."""
    return [x for x in jax.tree.leaves(tree) if is_dynamic(x) and x.ndim]


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
    """Run steps `start` to `stop`; their losses are in the first rows of a buffer."""
    state, shuffle = carry
    start, stop = jnp.asarray(start, jnp.int32), jnp.asarray(stop, jnp.int32)
    rows = jax.tree.leaves(data)
    num_rows = rows[0].shape[0] if rows else 0
    scale = 1.0 if batch_size is None else num_rows / batch_size
    frame = Frame(state)

    # Under jit it is traced once, although the shape of its output is needed before the loop.
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
        # A pass begun in an earlier chunk continues in its order, without sorting again.
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
    """The order of rows in pass `number`."""
    key = jax.random.fold_in(key, number)
    return Shuffle(
        number, jax.random.permutation(key, jnp.arange(num_rows, dtype=jnp.int32))
    )


def _take(data: PyTree, rows: Any) -> PyTree:
    return jax.tree.map(lambda a: a.at[rows].get(mode="promise_in_bounds"), data)


def _refresh(bar: tqdm, first: Any, last: Any, start: int, stop: int) -> None:
    """Show the mean over members of the first loss and of the last chunk's losses."""
    means = []
    for losses in (np.asarray(first)[:1], np.asarray(last)[: stop - start]):
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
    """Warn about members whose losses or final parameters are not finite."""
    is_bad = ~np.isfinite(np.asarray(losses))
    first = {int(e): int(is_bad[e].argmax()) for e in np.flatnonzero(is_bad.any(axis=1))}
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact):
            values = _processes.whole(leaf).reshape(is_bad.shape[0], -1)
            for member in np.flatnonzero(~np.isfinite(values).all(axis=1)):
                # All losses were finite, so the last update failed.
                first.setdefault(int(member), is_bad.shape[1] - 1)
    if first:
        named = ", ".join(f"member {e} from step {t}" for e, t in sorted(first.items()))
        warnings.warn(
            f"Of {is_bad.shape[0]} members, these became non-finite (steps are counted from "
            f"0): {named}. The others are not affected. Lower the learning rate, clip the "
            "gradients, or change the seed.",
            stacklevel=stacklevel,
        )
