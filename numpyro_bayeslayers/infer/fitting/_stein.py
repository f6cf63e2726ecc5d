"""Stein variational inference as a method of `fit`."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jaxtyping import Array
from numpyro.contrib.einstein.stein_kernels import SteinKernel
from numpyro.infer.autoguide import AutoDelta

from ... import _checks
from ..ensembles._map_run import digests
from ..rows._arguments import Arguments, merged, take_apart
from ..training._checkpoint import run_identity
from ..training._cosine import length_of, over_steps
from ..training._divided import look_at_all
from ..training._finite import Finite
from ..training._trainer import Around
from ..training._training_loop import saying
from ..training._validation import Validation
from ._look import look_at_fit
from ._method import (
    Posterior,
    Problem,
    checked_optim,
    drawing,
    guide_of,
    optimizer,
    settle,
)
from ._particles import Moves, Particles, Setting
from ._programs import PROGRAMS, program_key


@dataclass(frozen=True, kw_only=True)
class Stein:
    """Stein variational inference: particles that approximate the posterior and repel each other.

    With the default guide, `AutoDelta`, this is Stein variational gradient descent, and each
    particle is a point. With another guide, each particle is a component of a mixture. Both are
    implemented by `numpyro.contrib.einstein`.

    Args:
        num_particles: Number of particles, at least 1.
        guide: The distribution of one particle, as in `VI`.
        optim: The optimizer, as in `VI`.
        kernel: A kernel of `numpyro.contrib.einstein`; `RBFKernel` if None.
        num_elbo_particles: Draws from each particle's guide per step, at least 1; a point guide
            needs one.

    Raises:
        TypeError: If a number is not an integer, the guide is not callable, or `kernel` is not
            a kernel.
        ValueError: If a number is out of range.

    Example:
        >>> Stein(num_particles=5).num_particles
        5

    References:
        Liu and Wang (2016), "Stein variational gradient descent", NeurIPS; Rønning et al.
        (2024), "ELBOing Stein: variational Bayes with Stein mixture inference",
        arXiv:2410.22948.
    """

    num_particles: int = 20
    guide: Any = AutoDelta
    optim: Any = 0.05
    kernel: SteinKernel | None = None
    num_elbo_particles: int = 10

    def __post_init__(self) -> None:
        settle(self, num_particles=_checks.size, num_elbo_particles=_checks.size)
        settle(self, guide=_checks.function, optim=checked_optim)
        if self.kernel is not None:
            what = "a kernel of numpyro.contrib.einstein"
            _checks.instance("kernel", self.kernel, SteinKernel, what)

    def _run(self, problem: Problem) -> Posterior:
        numbers = self.num_particles, self.num_elbo_particles
        steps = problem.batch_size, problem.data.num_rows
        model = problem.bound(problem.model)
        setting = Setting(model, optimizer(self.optim), self.kernel, *numbers, *steps)
        key = program_key(problem.data, setting, self.guide)
        parts = take_apart((), problem.data.rows)
        with PROGRAMS.take(key, lambda: Particles(setting)) as kept:
            asked = problem.asked
            look_at_all(kept.look, parts, asked.held)
            if asked.held is not None and asked.held.is_share and steps[0] is None:
                kept.check_apart(parts)  # minibatches are checked anyway
            moves = kept.ready(parts, lambda seen: guide_of(self.guide, seen, problem))
            if problem.found is None:
                result = _trained(moves, parts, problem)
            else:
                result = problem.found(moves.param_shapes)
                if moves.is_own:
                    moves.start(problem.key, parts.rows, parts.shared)
        params, drawn = result.params, moves.drawn
        finite = Finite.of(params, self.num_particles, "particle")
        values = finite.take(params)
        if problem.found is None:
            first_particle = jax.tree.map(lambda x: x[0], values)
            look_at_fit(kept.look, drawn, first_particle, parts)
        draw = drawing(kept.predictor, drawn, values, finite.count)
        has_all_steps = result.losses.shape[1] == problem.num_steps
        is_cut = asked.early_stopping is not None or not has_all_steps
        return Posterior(draw, params, None, result, finite, None, is_cut)


def _trained(moves: Moves, parts: Arguments, problem: Problem) -> "StepResult":
    """The result of the particles."""
    asked, num_steps, size = problem.asked, problem.num_steps or 1, problem.batch_size
    key_init, key_rows = jax.random.split(problem.key)
    with saying("compiling the start", problem.progress_bar):
        state = moves.start(key_init, parts.rows, parts.shared)
    if asked.init is not None:
        state = moves.started_at(state, asked.init, problem.sites.latent)
    state = over_steps(state, num_steps)
    held = None
    if asked.held is not None:
        held = moves.held(asked.held, parts, key_rows)
    around = Around(asked.early_stopping, asked.checkpoint, asked.callbacks, held)
    identity = None
    if asked.checkpoint is not None:
        own, description = around.identity(moves.description(parts))
        at = None if asked.init is None else digests(moves.unconstrained(state))
        options = {"batch_size": size, "init": at, **length_of(state, num_steps), **own}
        identity = run_identity(problem.key, options, description)
    rows, shared = parts.rows, parts.shared
    if size is None:
        rows, shared = [None] * len(rows), merged(parts)
    done = moves.trainer.run(
        state,
        rows,
        num_steps,
        around,
        shown=moves.params,
        size=1,
        work=(size or parts.num_rows or 1) * moves.work,
        key=key_rows,
        shared=shared,
        batch_size=size,
        progress_bar=problem.progress_bar,
        identity=identity,
    )
    best = moves.unconstrained(done.state) if done.params is None else done.params
    last = jax.tree.map(lambda x: x[0], done.state)
    return StepResult(moves.params(best), done.losses, last, done.validation)


class StepResult(NamedTuple):
    """Parameters by site name, a figure per step, the last state, and held-out scores."""

    params: dict[str, Array]
    losses: Array
    state: Any
    validation: Validation | None = None
