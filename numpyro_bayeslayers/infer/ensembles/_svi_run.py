"""Training runs of variational ensembles: on data in memory, and on a stream of batches."""

import functools
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array
from tqdm.auto import tqdm

from ..._typing import PRNGKey
from ..training._arguments import Arguments, merged, part_scale, part_size
from ..training._checkpoint import Checkpoint, run_identity
from ..training._cosine import over_steps
from ..training._early_stopping import EarlyStopping, start_stopping
from ..training._guides import needs_hessian
from ..training._identity import check_state, description_of
from ..training._program import Programs
from ..training._state import named, plain, position
from ..training._training_loop import CHUNK, saying, warn_non_finite
from ._functions import EnsembleResult

_NEEDS_ALL_ROWS = (
    "AutoLaplaceApproximation takes its posterior from all rows at once, which `run_batches` "
    "never has. Give the data to `run`, with `batch_size`, or take AutoMultivariateNormal."
)


def run_on_rows(
    programs: Programs,
    key: PRNGKey,
    num_steps: int,
    parts: Arguments,
    *,
    batch_size: int | None,
    progress_bar: bool,
    init_state: Any,
    early_stopping: EarlyStopping | None,
    checkpoint: Checkpoint | None,
    is_quiet: bool = False,
) -> EnsembleResult:
    """Train on data that is in memory; see `EnsembleSVI.run`."""
    programs.look.at_observations(parts)
    programs.look.at_layers(parts)
    batch_size = part_size(batch_size, parts.num_rows)
    of = None if batch_size is None else parts.num_rows
    program = programs.get(parts, batch_size or parts.num_rows, num_rows=of)
    if init_state is not None:
        check_state(program, init_state, parts, name="init_state")
    start: Any = init_state
    if start is None or not program.is_started:
        with saying("compiling the start", progress_bar):
            start = programs.start(program, key, parts, stacklevel=5)
            start = over_steps(start, num_steps)
    state: Any = plain(start)
    taken = 0
    if init_state is not None:
        start, (taken, key) = init_state, position(init_state, key)
        state = jax.tree.map(jnp.copy, plain(init_state))  # the loop reuses buffers
    rule = None if early_stopping is None else early_stopping.checked()
    if rule is not None:
        best = program.member.unconstrained(state)
        state = (state, start_stopping(best, programs.size))
    save = before = None
    description = description_of(program, parts, repeated=checkpoint is not None)
    if checkpoint is not None:
        options = {"batch_size": batch_size, "taken": taken, "early_stopping": rule}
        identity = run_identity(key, options, description)
        state, before = checkpoint.load(state, programs.size, identity)
        save = functools.partial(checkpoint.save, identity=identity)

    def on_chunk(state: Any, losses: np.ndarray) -> bool:
        if save is not None:
            save(state, losses)
        return rule is not None and bool(state[1].is_stopped.all())

    rows, shared = parts.rows, parts.shared
    if batch_size is None:
        rows, shared = [None] * len(rows), merged(parts)
    rows, shared = programs.lay_out((rows, shared), PartitionSpec())
    state, losses = program.loop(rule).run(
        state,
        rows,
        num_steps,
        key=key,
        shared=shared,
        batch_size=batch_size,
        progress_bar=progress_bar,
        before=before,
        taken=taken,
        most=CHUNK if checkpoint is None else int(checkpoint.every),
        on_chunk=on_chunk if checkpoint is not None or rule else None,
    )
    if rule is None:
        params = program.params(named(state, start, program.description))
    else:
        state, memory = state
        params = program.constrain(memory.best_params)
    if needs_hessian(program.member.guide):
        found = program.finish(params, state, rows, shared)
        _warn_flat(found)
        params |= found
    if not is_quiet:
        warn_non_finite(params, losses, stacklevel=4)
    of_run = program.description.with_data(description.fields["data"])
    return EnsembleResult(params, losses, named(state, start, of_run))


def run_on_stream(
    programs: Programs,
    key: PRNGKey,
    batches: Iterable[Arguments],
    *,
    num_rows: int,
    progress_bar: bool,
    init_state: Any,
) -> EnsembleResult:
    """Train on one batch after another; see `EnsembleSVI.run_batches`."""
    state, losses = init_state, []
    for parts in tqdm(batches, **({} if progress_bar else {"disable": True})):
        programs.look.at_observations(parts)
        scale = part_scale(num_rows, parts.num_rows)
        program = programs.get(parts, parts.num_rows, num_rows=num_rows)
        if needs_hessian(program.member.guide):
            raise ValueError(_NEEDS_ALL_ROWS)
        if not losses and state is not None:
            check_state(program, state, name="init_state")
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


def _warn_flat(scales: dict[str, Array]) -> None:
    """Name the members whose Hessian gave no posterior."""
    for scale in scales.values():
        flat = np.flatnonzero(~np.asarray(scale).any((1, 2)))
        if flat.size:
            warnings.warn(
                f"The Hessian of the loss is singular or not positive in member"
                f"{'s' * (flat.size > 1)} {', '.join(map(str, flat))} of {len(scale)}: "
                "predictions are those of the mode alone. Train longer or at a lower rate, or "
                "take AutoNormal.",
                stacklevel=4,
            )


def known_values(result: EnsembleResult) -> dict[str, Any]:
    """The parameters, and what the model itself had kept (`numpyro.mutable`) at the end."""
    return (getattr(result.state, "mutable_state", None) or {}) | result.params
