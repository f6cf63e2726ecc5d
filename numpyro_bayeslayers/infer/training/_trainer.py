"""A training run with validation, checkpoints and callbacks, for all kinds of members.

Between chunks of steps, in this order: an evaluation on held-out rows, a save, the callbacks.
Each has its own period in steps and also runs at the end, independent of the others and of the
progress bar.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, PyTree

from ... import _checks, _processes
from ..._typing import PRNGKey
from ..rows._layout import HERE, Layout
from ._callbacks import Callback, Progress, callback_period, is_ended
from ._checkpoint import Checkpoint, Saved
from ._description import Description
from ._early_stopping import (
    EarlyStopping,
    start_stopping,
    with_early_stopping,
    with_members_stopped,
)
from ._losses import Losses
from ._training_loop import Step, TrainingLoop, saying
from ._validation import Held, Validation, start_best

_NOT_HELD = (
    "`early_stopping` uses the validation score, but no rows are held out. Set "
    "`validation=0.1`, a fraction of the rows, or pass other data."
)


class Around(NamedTuple):
    """The options of a run besides its steps.

    Args:
        early_stopping: When to stop each member.
        checkpoint: Where to save the run.
        callbacks: Functions of `Progress`.
        held: Held-out rows.
    """

    early_stopping: EarlyStopping | None = None
    checkpoint: Checkpoint | None = None
    callbacks: tuple[Callback, ...] = ()
    held: Held | None = None

    def identity(self, description: Description) -> tuple[dict[str, Any], Description]:
        """The identity of a run for its checkpoint.

        Args:
            description: The description of the run, to which the held-out rows are added.
        """
        if self.held is not None:
            own = {f"validation: {n}": text for n, text in self.held.identity.items()}
            description = description.with_data({**description.fields["data"], **own})
        return {"early_stopping": self.early_stopping}, description


def checked_around(
    early_stopping: Any, checkpoint: Any, *, is_held: bool
) -> EarlyStopping | None:
    """Check the options and convert the stopping rule to Python numbers.

    Args:
        early_stopping: When to stop each member; None for never.
        checkpoint: Where to save the run; None for nowhere.
        is_held: Whether rows are held out.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If a number is out of range, or stopping needs held-out rows and there are
            none.
    """
    if checkpoint is not None:
        _checks.instance("checkpoint", checkpoint, Checkpoint, "a Checkpoint")
        checkpoint.check()
    if early_stopping is None:
        return None
    what = "an EarlyStopping"
    rule = _checks.instance("early_stopping", early_stopping, EarlyStopping, what).checked()
    if rule.on == "validation" and not is_held:
        raise ValueError(_NOT_HELD)
    return rule


class Trained(NamedTuple):
    """The result of a run.

    Args:
        state: The last state.
        params: The best unconstrained parameters, if there is early stopping; None for those of
            the last state.
        losses: The loss of each member at each step.
        validation: The scores of held-out rows.
    """

    state: Any
    params: PyTree
    losses: Float[Array, "e t"]
    validation: Validation | None


class Trainer:
    """Trains members with a step function; each kind of loop is compiled once.

    Args:
        step: ``step(state, batch, shared, scale) -> (state, losses)``, pure.
        params_of: The function from a state to the unconstrained parameters, arrays with a
            leading axis of members.
        layout: The placement of members and rows on devices.
    """

    def __init__(
        self, step: Step, params_of: Callable[[Any], PyTree], layout: Layout = HERE
    ) -> None:
        self._step = step
        self._layout = layout
        self.params_of = params_of
        self.loop = functools.cache(self._loop)

    def _loop(self, rule: EarlyStopping | None) -> TrainingLoop:
        if rule is None:
            return TrainingLoop(self._step, self._layout)
        if rule.on == "validation":
            return TrainingLoop(with_members_stopped(self._step), self._layout)
        stopping = with_early_stopping(self._step, self.params_of, rule)
        return TrainingLoop(stopping, self._layout)

    def _loop_of(self, rule: EarlyStopping | None) -> TrainingLoop:
        # Evaluations take the numbers of the stopping rule as inputs: one loop for all such
        # rules.
        is_seen = rule is not None and rule.on == "validation"
        return self.loop(EarlyStopping(on="validation") if is_seen else rule)

    def run(
        self,
        state: Any,
        data: PyTree,
        num_steps: int,
        around: Around,
        *,
        shown: Callable[[PyTree], PyTree],
        size: int,
        work: int,
        key: PRNGKey,
        shared: PyTree = (),
        batch_size: int | None = None,
        progress_bar: bool = True,
        taken: int = 0,
        identity: dict[str, Any] | None = None,
    ) -> Trained:
        """Take `num_steps` steps with evaluations, saves and callbacks.

        Args:
            state: The initial state; its buffers are donated.
            data: See `TrainingLoop.run`, also for other arguments.
            num_steps: The number of steps.
            around: The checked options.
            shown: The function from the parameters to those shown to users.
            size: The number of members.
            work: See `Held.period`.
            key: The random key of the order of rows.
            shared: Arrays that each step uses as a whole.
            batch_size: The number of rows per batch.
            progress_bar: Whether to show progress.
            taken: The number of steps of earlier runs.
            identity: The identity of the run, for the checkpoint.
        """
        rule, checkpoint, callbacks, held = around
        can_stop, is_shared = rule is not None, self._layout.is_shared
        if rule is not None:
            start = start_best if rule.on == "validation" else start_stopping
            state = (state, self._layout.members(start(self.params_of(state), size)))
        before = seen = None
        if checkpoint is not None:
            state, before, seen = checkpoint.load(state, size, identity or {})
        known = seen if held is not None else None
        looks = _Looks(held, rule, num_steps, work, known, self._layout)
        saves = int(checkpoint.every) if checkpoint is not None else 0
        calls = callback_period(num_steps) if callbacks else 0
        last: Saved | None = None

        def save(file: Checkpoint, state: Any, losses: Losses) -> None:
            nonlocal last
            here = losses.so_far(), identity or {}, looks.found
            last = file.save(state, *here, last=last)

        def between(state: Any, step: int, losses: Losses) -> Any:
            is_due = lambda period: period and (step % period == 0 or step == num_steps)
            is_end = False
            if is_due(looks.period):
                state = looks.at(state, step)
            if can_stop and (not looks.stops or is_due(looks.period)):
                is_end = bool(_processes.whole(state[1].is_stopped).all())
            is_saved = bool(is_due(saves))
            if checkpoint is not None and is_saved:
                save(checkpoint, state, losses)
            if callbacks and (is_due(calls) or is_end):
                inner = self.params_of(state[0] if can_stop else state)
                params = _processes.on_host(shown(inner))
                where = Progress(step, losses.so_far(), params, looks.found)
                is_ended_here = is_ended(callbacks, where)
                is_end |= _processes.any_of(is_ended_here, shared=is_shared)
            if checkpoint is not None and is_end and not is_saved:
                save(checkpoint, state, losses)
            return state, is_end

        is_done = before is not None and can_stop
        is_done = is_done and _processes.whole(state[1].is_stopped).all()
        if before is None and looks.period:
            with saying("compiling the validation", progress_bar):
                state = looks.at(state, 0)
        periods = tuple(period for period in (looks.period, saves, calls) if period)
        state, losses = self._loop_of(rule).run(
            state,
            data,
            before.shape[1] if before is not None and is_done else num_steps,
            key=key,
            shared=shared,
            batch_size=batch_size,
            progress_bar=progress_bar,
            before=before,
            taken=taken,
            periods=periods,
            on_chunk=between if periods or can_stop else None,
        )
        best = None
        if can_stop:
            state, memory = state
            best = memory.best_params
        return Trained(state, best, losses, looks.found)


class _Looks:
    """The evaluations of one run on its held-out rows."""

    def __init__(
        self,
        held: Held | None,
        rule: EarlyStopping | None,
        num_steps: int,
        work: int,
        seen: Validation | None,
        layout: Layout,
    ) -> None:
        self._held, self._layout = held, layout
        self.stops = rule is not None and rule.on == "validation"
        self._rule = rule
        self._steps = [] if seen is None else list(seen.steps)
        self._scores: list[Any] = [] if seen is None else list(seen.log_density.T)
        patience = rule.patience if rule is not None and self.stops else None
        self.period = 0 if held is None else held.period(num_steps, work, patience)
        self._count = num_steps // self.period if self.period else 0

    def at(self, state: Any, step: int) -> Any:
        """The state after an evaluation, with the memory of early stopping."""
        assert self._held is not None
        has_memory = self._rule is not None
        inner, memory = (state[0], state[1]) if has_memory else (state, None)
        rule = self._rule or EarlyStopping()
        numbers = np.int32(step), np.int32(rule.patience), np.float32(rule.min_delta)
        level = self._held.level(self._count, inner)
        noted, scores = self._held.scorer(
            inner, memory if self.stops else None, self._held.arrays, numbers, level
        )
        self._steps.append(step)
        self._scores.append(scores)
        if not has_memory:
            return state
        return inner, self._layout.members(noted) if self.stops else memory

    @property
    def found(self) -> Validation | None:
        """The scores so far."""
        if self._held is None:
            return None
        self._scores = [_processes.whole(x) for x in self._scores]
        steps = np.array(self._steps, np.int32)
        return Validation(steps, np.ascontiguousarray(np.stack(self._scores, 1)))
