"""The method of `fit` that moves particles."""

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.contrib.einstein import RBFKernel, SteinVI
from numpyro.contrib.einstein.stein_kernels import SteinKernel
from numpyro.infer.autoguide import AutoDelta, AutoGuide
from numpyro.optim import _NumPyroOptim, optax_to_numpyro

from ... import _checks
from ...handlers._feasible import feasible
from ..ensembles._predictive import Predictor
from ..training._arguments import take_apart
from ..training._bounds import refuse_moving_bounds
from ..training._cosine import over_steps
from ..training._finite import Finite
from ..training._guides import check_guide, needs_hessian
from ..training._look import Look
from ..training._member import Drawn, settle_anywhere
from ..training._plates import in_batches, on_all_rows
from ..training._rows import in_minibatch, scaled_sites
from ..training._trainer import Around, Trainer
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
from ._particles import started_at

_NO_LAPLACE = (
    "`guide` must draw while it is fitted, got AutoLaplaceApproximation, whose particles would "
    "be modes alone. Take AutoNormal, or AutoLaplaceApproximation with `Ensemble`."
)


@dataclass(frozen=True, kw_only=True)
class Stein:
    """Fit by particles that are drawn to the posterior and repel each other.

    With the usual guide, `AutoDelta`, this is Stein variational gradient descent: the
    particles are points of the posterior. With another one each particle is a component of a
    mixture. Both are those of `numpyro.contrib.einstein`.

    Args:
        num_particles: How many, at least 1.
        guide: The law of one particle, as in `VI`.
        optim: The optimizer, as in `VI`.
        kernel: A kernel of `numpyro.contrib.einstein`; `RBFKernel` if None.
        num_elbo_particles: Draws from each particle's guide in a step, at least 1; a point
            needs one.

    Raises:
        TypeError: If a number is no integer, the guide cannot be called, or `kernel` is none.
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
        data, size = problem.data, problem.batch_size
        model = own = problem.bound(problem.model)
        look, parts = Look(own), take_apart((), data.rows)
        look.at_observations(parts)
        look.at_layers(parts)
        names: frozenset[str] = frozenset()
        if size is not None:
            guide = guide_of(self.guide, model, problem)
            names = scaled_sites(model, guide, parts, size, data.num_rows)
            model = in_batches(model, data.num_rows)

        def scaled(scale: Any, **rows: Any) -> Any:
            return in_minibatch(model, names, scale, 0)(**rows)

        guide = guide_of(self.guide, scaled, problem)
        if not isinstance(guide, AutoGuide):
            given = guide if size is None else in_batches(guide, data.num_rows)
            guide = lambda scale, **rows: given(**rows)
        check_guide(guide)
        # The guide is set up on the data itself, all of it or some rows.
        refuse_moving_bounds(own, guide, (), data.rows, by_data=size is not None)
        if needs_hessian(guide):
            raise ValueError(_NO_LAPLACE)
        is_point = isinstance(guide, AutoDelta)
        stein: Any = SteinVI(
            scaled,
            guide,
            _numpyro_optim(optimizer(self.optim)),
            RBFKernel() if self.kernel is None else copy.deepcopy(self.kernel),
            num_stein_particles=self.num_particles,
            num_elbo_particles=1 if is_point else self.num_elbo_particles,
            # As `numpyro.contrib.einstein.SVGD`, so that points are draws of the posterior.
            loss_temperature=1.0 / self.num_particles if is_point else 1.0,
        )

        def step(state: Any, batch: Any, shared: Any, scale: Any) -> tuple[Any, Array]:
            state, force = stein.update(state, scale, **batch)
            return state, force[None]

        key_init, key_rows = jax.random.split(problem.key)
        first = {name: jax.tree.map(lambda x: x[:size], x) for name, x in data.rows.items()}

        def start() -> Any:
            with feasible():  # the trace of the model is for the supports of its sites
                return jax.tree.map(jnp.asarray, stein.init(key_init, 1.0, **first))

        def params_of(state: Any) -> dict[str, Array]:
            params = stein.get_params(state)
            shared = [name for name in params if name not in stein.guide_sites]
            spread = lambda x: jnp.broadcast_to(x, (self.num_particles, *jnp.shape(x)))
            return params | {name: jax.tree.map(spread, params[name]) for name in shared}

        if problem.found is None:
            first_state = started_at(start(), stein, problem, guide)
            done = Trainer(step, lambda state: state).run(
                over_steps(first_state, problem.num_steps or 1),
                data.rows,
                problem.num_steps or 1,
                Around(callbacks=problem.asked.callbacks),
                shown=params_of,
                size=1,
                work=size or data.num_rows,
                key=key_rows,
                batch_size=size,
                progress_bar=problem.progress_bar,
            )
            result = StepResult(params_of(done.state), done.losses, done.state)
        else:
            result = problem.found(jax.eval_shape(lambda: params_of(start())))
            settle_anywhere(guide)
        params = result.params
        law = on_all_rows(
            lambda **rows: stein.guide(1.0, **rows),
            data.num_rows,
            is_auto=isinstance(guide, AutoGuide),
        )
        drawn = Drawn(on_all_rows(own, data.num_rows), law)
        finite = Finite.of(params, self.num_particles, "particle")
        kept = finite.take(params)
        if problem.found is None:
            first_particle = jax.tree.map(lambda x: x[0], kept)
            look_at_fit(look, drawn, first_particle, parts)
        draw = drawing(Predictor(), drawn, kept, finite.count)
        return Posterior(draw, params, None, result, finite)


class StepResult(NamedTuple):
    """Parameters by site name, a number for each step, and the last state."""

    params: dict[str, Array]
    losses: Array
    state: Any


def _numpyro_optim(optim: Any) -> _NumPyroOptim:
    return optim if isinstance(optim, _NumPyroOptim) else optax_to_numpyro(optim)
