"""Training runs of variational ensembles: on data in memory, and on a stream of batches."""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from numpyro.infer.svi import SVIState
from tqdm.auto import tqdm

from ..._typing import PRNGKey
from ..training._arguments import Arguments, merged, part_scale, part_size
from ..training._checkpoint import Checkpoint, run_identity
from ..training._early_stopping import EarlyStopping, start_stopping
from ..training._program import Programs
from ..training._training_loop import CHUNK, warn_non_finite
from ._functions import EnsembleResult


def run_on_rows(
    programs: Programs,
    key: PRNGKey,
    num_steps: int,
    parts: Arguments,
    *,
    batch_size: int | None,
    progress_bar: bool,
    init_state: SVIState | None,
    early_stopping: EarlyStopping | None,
    checkpoint: Checkpoint | None,
) -> EnsembleResult:
    """Train on data that is in memory; see `EnsembleSVI.run`."""
    programs.look.at_observations(parts)
    programs.look.at_layers(parts)
    batch_size = part_size(batch_size, parts.num_rows)
    of = None if batch_size is None else parts.num_rows
    program = programs.get(parts, batch_size or parts.num_rows, num_rows=of)
    first = [None if x is None else x[:batch_size] for x in parts.rows]
    state: Any = init_state
    if state is None or not program.is_started:
        state = programs.start(program, key, parts._replace(rows=first), stacklevel=5)
    if init_state is not None:
        state = jax.tree.map(jnp.copy, init_state)  # the loop reuses buffers
    if early_stopping is not None:
        early_stopping.check()
        best = program.member.unconstrained(state)
        state = (state, start_stopping(best, programs.size))
    save = before = None
    if checkpoint is not None:
        rule = early_stopping
        identity = run_identity(key, programs.size, parts.num_rows, batch_size, rule)
        state, before = checkpoint.load(state, programs.size, identity)
        save = functools.partial(checkpoint.save, identity=identity)

    def on_chunk(state: Any, losses: np.ndarray) -> bool:
        if save is not None:
            save(state, losses)
        return early_stopping is not None and bool(state[1].is_stopped.all())

    rows, shared = parts.rows, parts.shared
    if batch_size is None:
        rows, shared = [None] * len(rows), merged(parts)
    rows, shared = programs.lay_out((rows, shared), PartitionSpec())
    state, losses = program.loop(early_stopping).run(
        state,
        rows,
        num_steps,
        key=key,
        shared=shared,
        batch_size=batch_size,
        progress_bar=progress_bar,
        before=before,
        most=CHUNK if checkpoint is None else checkpoint.every,
        on_chunk=on_chunk if checkpoint is not None or early_stopping else None,
    )
    if early_stopping is None:
        params = program.params(state)
    else:
        state, memory = state
        params = program.constrain(memory.best_params)
    warn_non_finite(params, losses, stacklevel=4)
    return EnsembleResult(params, losses, state)


def run_on_stream(
    programs: Programs,
    key: PRNGKey,
    batches: Iterable[Arguments],
    *,
    num_rows: int,
    progress_bar: bool,
    init_state: SVIState | None,
) -> EnsembleResult:
    """Train on one batch after another; see `EnsembleSVI.run_batches`."""
    state, losses = init_state, []
    for parts in tqdm(batches, **({} if progress_bar else {"disable": True})):
        programs.look.at_observations(parts)
        scale = part_scale(num_rows, parts.num_rows)
        program = programs.get(parts, parts.num_rows, num_rows=num_rows)
        if state is None:
            programs.look.at_layers(parts)
            state = programs.start(program, key, parts, stacklevel=5)
        state, loss = program.update(state, parts.rows, parts.shared, scale)
        losses.append(loss)
    if state is None or not losses:
        raise ValueError("`batches` must give at least one batch, got none.")
    params, all_losses = programs.latest.params(state), jnp.stack(losses, axis=1)
    warn_non_finite(params, all_losses, stacklevel=4)
    return EnsembleResult(params, all_losses, state)
