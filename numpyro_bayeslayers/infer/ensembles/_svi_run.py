"""Training runs of variational ensembles, on data in memory or on a stream of batches."""

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from tqdm.auto import tqdm

from ... import _processes
from ..._threads import ALONE
from ..._typing import PRNGKey
from ..rows._arguments import Arguments, merged, part_scale, part_size
from ..training._callbacks import checked_callbacks
from ..training._checkpoint import Checkpoint, run_identity
from ..training._cosine import check_not_spent, length_of, over_steps
from ..training._divided import divided, look_at_all
from ..training._early_stopping import EarlyStopping
from ..training._given import check_given, in_step
from ..training._guides import needs_hessian
from ..training._identity import check_state, description_of
from ..training._init import ANYWHERE, check_one_start, starts_at
from ..training._program import Programs
from ..training._state import EnsembleSVIState, named, plain, position
from ..training._trainer import Around, checked_around
from ..training._training_loop import saying, warn_non_finite
from ._functions import EnsembleResult

_NEEDS_ALL_ROWS = (
    "AutoLaplaceApproximation computes its posterior from all rows, which `run_batches` does "
    "not have. Pass the data to `run` with `batch_size`, or use AutoMultivariateNormal."
)


class Options(NamedTuple):
    """The options of a run, as given by the user.

    Args:
        batch_size: Number of rows per step.
        progress_bar: Whether to show progress.
        init: Initial values.
        init_state: The state to continue from.
        early_stopping: When to stop each member.
        validation: Held-out rows.
        checkpoint: Where to save the run.
        callbacks: Functions of `Progress`.
        is_quiet: Whether to omit the warning about non-finite members.
    """

    batch_size: int | None = None
    progress_bar: bool = True
    init: Any = None
    init_state: Any = None
    early_stopping: EarlyStopping | None = None
    validation: Any = None
    checkpoint: Checkpoint | None = None
    callbacks: Any = ()
    is_quiet: bool = False


def run_on_rows(
    programs: Programs, key: PRNGKey, num_steps: int, parts: Arguments, asked: Options
) -> tuple[EnsembleResult, Arguments]:
    """Train on data in memory; see `EnsembleSVI.run`. Also returns the training data."""
    with ALONE:
        callbacks, progress_bar = checked_callbacks(asked.callbacks), asked.progress_bar
        init, init_state = asked.init, asked.init_state
        check_one_start(init, init_state)
        is_held = asked.validation is not None
        rule = checked_around(asked.early_stopping, asked.checkpoint, is_held=is_held)
        named_as = "init_state"
        if isinstance(init, EnsembleSVIState):
            init, init_state, named_as = None, init, "init"
        parts, held_out = divided(asked.validation, parts, key, programs.look.model)
        check_given(
            programs.layout,
            parts,
            held_out,
            key,
            {
                "num_steps": num_steps,
                "batch_size": asked.batch_size,
                "progress_bar": progress_bar,
                "early_stopping": asked.early_stopping,
                "checkpoint": asked.checkpoint and asked.checkpoint.every,
                "callbacks": len(callbacks),
            },
        )
        look_at_all(programs.look, parts, held_out)
        batch_size = part_size(asked.batch_size, parts.num_rows)
        if held_out is not None and held_out.is_share and batch_size is None:
            programs.check_apart(parts)  # with minibatches this is checked anyway
        of = None if batch_size is None else parts.num_rows
        program = programs.get(parts, batch_size or parts.num_rows, num_rows=of)
        starts, data = ANYWHERE, programs.layout.data(parts)
        if init_state is not None:
            check_state(program, init_state, parts, name=named_as)
            check_not_spent(named_as, plain(init_state))
        elif init is not None:
            starts = starts_at(program, init, parts, programs.size)
        start: Any = init_state
        if start is None or not program.is_started:
            with saying("compiling the start", progress_bar):
                start = programs.start(program, key, data, starts, stacklevel=5)
                start = over_steps(start, num_steps)
        state: Any = plain(start)
        taken = 0
        if init_state is not None:
            start, (taken, key) = init_state, position(init_state, key)
            state = jax.tree.map(jnp.copy, plain(init_state))  # the loop reuses buffers
        state = programs.layout.members(state)
        held = None
        if held_out is not None:
            held = program.held(held_out.parts, data, held_out.sites, state, key)
        around = Around(rule, asked.checkpoint, callbacks, held)
        is_repeated = asked.checkpoint is not None
        description = description_of(program, parts, repeated=is_repeated)
        identity = None
        if is_repeated:
            own, of_whole = around.identity(description)
            options = {"batch_size": batch_size, "taken": taken, **own}
            options |= length_of(state, num_steps)
            options |= {} if starts is ANYWHERE else {"init": starts.identity}
            identity = run_identity(key, options, of_whole)
        rows, shared = data.rows, data.shared
        if batch_size is None:
            rows, shared = [None] * len(rows), merged(data)
        done = program.trainer.run(
            state,
            rows,
            num_steps,
            around,
            shown=program.constrain,
            size=programs.size,
            work=(batch_size or parts.num_rows or 1) * program.member.loss.num_particles,
            key=key,
            shared=shared,
            batch_size=batch_size,
            progress_bar=progress_bar,
            taken=taken,
            identity=identity,
        )
        state, losses = done.state, done.losses
        best = program.member.unconstrained(state) if done.params is None else done.params
        params = program.constrain(best)
        if needs_hessian(program.member.guide):
            found = program.finish(params, state, rows, shared)
            _warn_flat(found)
            params |= found
        if not asked.is_quiet:
            warn_non_finite(params, losses, stacklevel=4)
        of_run = program.description.with_data(description.fields["data"])
        last = named(state, start, of_run)
        return EnsembleResult(params, losses, last, done.validation), parts


def run_on_stream(
    programs: Programs,
    key: PRNGKey,
    batches: Iterable[Arguments],
    *,
    num_rows: int,
    progress_bar: bool,
    init_state: Any,
) -> EnsembleResult:
    """Train on a stream of batches; see `EnsembleSVI.run_batches`."""
    with ALONE:
        state, losses, layout = init_state, [], programs.layout
        is_seen = progress_bar and _processes.is_first()
        for own in tqdm(in_step(batches, layout), **({} if is_seen else {"disable": True})):
            programs.look.at_observations(own)
            parts = layout.batch(own)
            scale = part_scale(num_rows, parts.num_rows)
            program = programs.get(own, parts.num_rows, num_rows=num_rows)
            if needs_hessian(program.member.guide):
                raise ValueError(_NEEDS_ALL_ROWS)
            if not losses and state is not None:
                check_state(program, state, name="init_state")
            if state is None:
                programs.look.at_layers(own)
                state = programs.start(program, key, parts, stacklevel=5)
            with _processes.losing_none(shared=layout.is_shared):
                state, loss = program.update(state, parts.rows, parts.shared, scale)
                losses.append(loss)
        if state is None or not losses:
            raise ValueError("`batches` must give at least one batch, got none.")
        with _processes.losing_none(shared=layout.is_shared):
            params, all_losses = programs.latest.params(state), jnp.stack(losses, axis=1)
            if layout.is_shared:
                all_losses = jax.device_put(_processes.whole(all_losses))
        warn_non_finite(params, all_losses, stacklevel=4)
        return EnsembleResult(params, all_losses, state)


def _warn_flat(scales: dict[str, Array]) -> None:
    """Warn about members whose Hessian is not positive definite."""
    for scale in scales.values():
        flat = np.flatnonzero(~_processes.whole(scale).any((1, 2)))
        if flat.size:
            warnings.warn(
                "The Hessian of the loss is singular or not positive in "
                f"member{'s' * (flat.size > 1)} {', '.join(map(str, flat))} of {len(scale)}: "
                "their predictions use only the mode. Train longer or with a lower learning "
                "rate, or use AutoNormal.",
                stacklevel=4,
            )


def known_values(result: EnsembleResult) -> dict[str, Any]:
    """The parameters and the final mutable state of the model (`numpyro.mutable`)."""
    return (getattr(result.state, "mutable_state", None) or {}) | result.params
