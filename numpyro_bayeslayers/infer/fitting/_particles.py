"""The programs of particles: made from the shapes of the data, and kept without it.

All particles together are one member of a run: they move by forces on each other, and one of
them cannot stop, or be the best, without the others.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.contrib.einstein import RBFKernel, SteinVI
from numpyro.contrib.einstein.stein_kernels import SteinKernel
from numpyro.infer.autoguide import AutoDelta, AutoGuide
from numpyro.optim import _NumPyroOptim, optax_to_numpyro

from ..._typing import Model, PRNGKey
from ...handlers._feasible import feasible
from ..compilation._effort import once
from ..compilation._fingerprint import settings_of
from ..ensembles._predictive import Predictor
from ..rows._arguments import Arguments, on_shapes, put_together
from ..rows._bounds import are_moved_by_data, may_move, refuse_moving_bounds
from ..rows._look import Look
from ..rows._plates import in_batches, on_all_rows
from ..rows._rows import in_minibatch, scaled_sites
from ..training._description import Description, data_texts, guide_texts, shapes_text
from ..training._divided import HeldOut, check_apart
from ..training._guides import check_guide, fresh, let_go_of_tracers, needs_hessian
from ..training._held_out import kind_of_rows, score_of
from ..training._init import check_landed, landed, values_of
from ..training._member import Drawn, holds_tracers, promoted, settle_anywhere
from ..training._trainer import Trainer
from ..training._validation import NUM_DRAWS, Held, Scorer

_NO_LAPLACE = (
    "`guide` must draw while it is fitted, got AutoLaplaceApproximation, whose particles would "
    "be modes alone. Take AutoNormal, or AutoLaplaceApproximation with `Ensemble`."
)

MakeGuide = Callable[[Model], Any]


class Setting(NamedTuple):
    """What decides the programs of particles, beside the guide and the data.

    Args:
        model: The model, of rows alone.
        optim: The optimizer.
        kernel: The kernel; None for the usual one.
        num_particles: The number of particles.
        num_draws: Draws of each particle's guide in a step.
        batch_size: Rows in a step; None for all.
        num_rows: All rows.
    """

    model: Model
    optim: Any
    kernel: SteinKernel | None
    num_particles: int
    num_draws: int
    batch_size: int | None
    num_rows: int


class Particles:
    """What is kept of particles from one fit to the next one of the same kind.

    Args:
        setting: What decides its programs.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._made: Moves | None = None
        self._are_apart = False
        self.look = Look(setting.model)
        self.predictor = Predictor()

    def check_apart(self, parts: Arguments) -> None:
        """A share of rows like these may be held out; looked at once.

        Raises:
            ValueError: If rows depend on each other.
        """
        if not self._are_apart:
            check_apart(self._setting.model, parts)
            self._are_apart = True

    def ready(self, parts: Arguments, make_guide: MakeGuide) -> "Moves":
        """The programs for such data: those of before, unless they hold the data itself.

        Args:
            parts: The data.
            make_guide: Makes the guide of one particle for a model of rows.

        Raises:
            ValueError: If model or guide cannot be fitted in this way.
        """
        if self._made is not None:
            return self._made
        made = Moves(self._setting, parts, make_guide)
        if not made.is_own:
            self._made = made
        return made


class Moves:
    """`SteinVI`, set up, and its programs.

    Args:
        setting: What decides the programs.
        parts: The data.
        make_guide: Makes the guide of one particle for a model of rows.
    """

    def __init__(self, setting: Setting, parts: Arguments, make_guide: MakeGuide) -> None:
        self._setting = setting
        self._frame = parts.frame
        model, size, count = setting.model, setting.batch_size, setting.num_rows
        names: frozenset[str] = frozenset()
        if size is not None:
            names = scaled_sites(model, make_guide(model), parts, size, count)
        seen = model if size is None else in_batches(model, count)

        # Functions, and no methods: guides are copied with what they hold.
        def scaled(scale: Any, **rows: Any) -> Any:
            return in_minibatch(seen, names, scale, 0)(**rows)

        self._scaled, guide = scaled, make_guide(scaled)
        self._is_auto = isinstance(guide, AutoGuide)
        if not self._is_auto:
            given = guide if size is None else in_batches(guide, count)
            guide = lambda scale, **rows: given(**rows)
        check_guide(guide)
        if needs_hessian(guide):
            raise ValueError(_NO_LAPLACE)
        self._guide: Any = guide
        self._is_point = isinstance(guide, AutoDelta)
        self.stein: Any = self._new()
        self.is_own = self._set_up(parts)
        self.start = self._start if self.is_own else once(self._start)
        self.params = once(self._params)
        self.trainer = Trainer(self._step, self.unconstrained)
        self._scorers: dict[Any, Scorer] = {}

    def _new(self) -> Any:
        own = self._setting
        kernel, optim = own.kernel, own.optim
        return SteinVI(
            self._scaled,
            fresh(self._guide),
            promoted(
                optim if isinstance(optim, _NumPyroOptim) else optax_to_numpyro(optim)
            ),
            RBFKernel() if kernel is None else copy.deepcopy(kernel),
            num_stein_particles=own.num_particles,
            num_elbo_particles=1 if self._is_point else own.num_draws,
            # As `numpyro.contrib.einstein.SVGD`, so that points are draws of the posterior.
            loss_temperature=1.0 / own.num_particles if self._is_point else 1.0,
        )

    def _set_up(self, parts: Arguments) -> bool:
        """Whether the programs are of this data alone, which decides bounds or a kernel.

        No tracer is left when a trace ends.
        """
        rows = self._setting.batch_size or self._setting.num_rows
        started = lambda kwargs: _started(self.stein, jax.random.key(0), kwargs)
        found: list[_Found] = []

        def look(args: Any, kwargs: Any) -> Any:
            params = self._params(self.unconstrained(started(kwargs)))
            seen = _Found.of(self.stein)
            found.append(seen)
            if seen.is_traced or seen.is_drawn:
                self.stein = self._new()
            else:
                let_go_of_tracers(self.stein.guide)
            return params

        self.param_shapes = on_shapes(look, parts, rows)
        is_traced, may_move, is_drawn = found[-1]
        if is_traced or may_move:
            args, kwargs = put_together(parts.rows, parts.shared, parts.frame)
            of = self._setting.model, self._guide, args, kwargs
            refuse_moving_bounds(*of, by_data=self._setting.batch_size is not None)
            if is_traced and are_moved_by_data(*of):
                return True  # set up by `start`
        if is_drawn:
            return True
        if is_traced:  # bounds that the model computes of its own numbers: as values

            def as_values(args: Any, kwargs: Any) -> Any:
                with jax.ensure_compile_time_eval():
                    state = started(kwargs)
                let_go_of_tracers(self.stein.guide)
                return state

            on_shapes(as_values, parts, rows)
        settle_anywhere(self.stein.guide)
        return False

    def _start(self, key: PRNGKey, data: Any, shared: Any) -> Any:
        """The first state, by the first rows of the data."""
        size = self._setting.batch_size
        first = [None if x is None else x[:size] for x in data]
        _, rows = put_together(first, shared, self._frame)
        # What a start finds goes into what steps take if it is that of this data alone.
        return _started(self.stein if self.is_own else self._new(), key, rows)

    def started_at(self, state: Any, init: Any, latents: tuple[str, ...]) -> Any:
        """The first state, at values of latent sites or parameters.

        Args:
            state: Where particles would start.
            init: What a fit has found, or a dictionary of values.
            latents: The names of the latent sites.

        Raises:
            TypeError: If `init` has no values by site.
            ValueError: If it is of other sites or shapes, or outside a support.
        """
        stein = self.stein
        own = stein.get_params(jax.tree.map(lambda x: x[0], state))
        moved = {name: x for name, x in own.items() if name in stein.guide_sites}
        found = getattr(getattr(init, "result", None), "params", {})
        found = {name: x for name, x in found.items() if name in moved}
        shapes = {n: x.shape for n, x in moved.items()}
        if {n: x.shape for n, x in found.items()} == shapes:
            given = found
        else:
            sites = latents if self._is_point else ()
            names = {name: f"{name}_{self._guide.prefix}_loc" for name in sites}
            names = {site: name for site, name in names.items() if name in moved}
            wanted = {site: shapes[name][1:] for site, name in names.items()}
            others = moved.keys() - names.values()
            wanted |= {name: shapes[name][1:] for name in others}
            values = values_of(init, wanted, self._setting.num_particles)
            given = {names.get(name, name): x for name, x in values.items()}
        unconstrained = stein.uconstrain_fn({**own, **given})
        here = stein.constrain_fn(unconstrained)
        check_landed(
            {n: jax.vmap(landed)(here[n], jnp.asarray(x)) for n, x in given.items()}
        )
        free = stein.optim.init(jax.tree.map(jnp.asarray, unconstrained))
        return state._replace(optim_state=jax.tree.map(lambda x: x[None], free))

    def _step(self, state: Any, batch: Any, shared: Any, scale: Any) -> tuple[Any, Array]:
        _, rows = put_together(batch, shared, self._frame)
        inner = jax.tree.map(lambda x: x[0], state)
        inner, force = self.stein.update(inner, scale, **rows)
        return jax.tree.map(lambda x: x[None], inner), force[None]

    def unconstrained(self, state: Any) -> Any:
        """The parameters as the optimizer sees them, led by an axis of one member."""
        return self.stein.optim.get_params(state.optim_state)

    def _params(self, unconstrained: Any) -> dict[str, Any]:
        """The parameters of each particle by site name, in their constrained space."""
        params = self.stein.constrain_fn(jax.tree.map(lambda x: x[0], unconstrained))
        count = self._setting.num_particles
        shared = [name for name in params if name not in self.stein.guide_sites]
        spread = lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x)))
        return params | {name: jax.tree.map(spread, params[name]) for name in shared}

    @functools.cached_property
    def drawn(self) -> Drawn:
        """What draws predictions."""
        guide, count = self.stein.guide, self._setting.num_rows
        of_rows = lambda **rows: guide(1.0, **rows)
        law = on_all_rows(of_rows, count, is_auto=self._is_auto)
        return Drawn(on_all_rows(self._setting.model, count), law)

    def held(self, held: HeldOut, fitted: Arguments, key: PRNGKey) -> Held:
        """Rows that are held out, and the program that scores the mixture of all particles.

        Args:
            held: The rows.
            fitted: The data of the fit.
            key: The random key of the draws.

        Raises:
            ValueError: If such rows cannot be scored.
        """
        parts, count = held.parts, held.parts.num_rows or 0
        kind = parts.frame, fitted.frame, count, held.sites
        draws = 1 if self._is_point else NUM_DRAWS
        size = self._setting.num_particles
        if kind not in self._scorers:
            how = kind_of_rows(self.drawn.model, parts, held.sites)
            frames = parts.frame, fitted.frame
            params_of = lambda state: self._params(self.unconstrained(state))
            score = score_of(self.drawn, params_of, how, *frames, size, draws, are_one=True)
            self._scorers[kind] = Scorer(score, self.unconstrained)
        arrays = parts.rows, parts.shared, fitted.rows, fitted.shared, key
        texts = data_texts(parts)
        return Held(self._scorers[kind], arrays, count, size * draws, texts)

    @property
    def work(self) -> int:
        """How often a step evaluates the rows that it sees."""
        each = 1 if self._is_point else self._setting.num_draws
        return self._setting.num_particles**2 * each

    def description(self, parts: Arguments) -> Description:
        """All that decides the numbers of a run on this data."""
        own, (guide, start) = self._setting, guide_texts(self._guide)
        return Description(
            {
                "guide": guide,
                "parameters": shapes_text(self.param_shapes),
                "members": {"": str(own.num_particles)},
                "optimizer": settings_of(own.optim),
                "loss": settings_of({"kernel": own.kernel, "num_draws": own.num_draws}),
                "data": data_texts(parts),
                "start": start if self._is_auto else settings_of(self._guide),
                "model": settings_of(own.model),
            }
        )


class _Found(NamedTuple):
    """What setting up has found.

    Args:
        is_traced: Whether bounds were computed in the trace.
        may_move: Whether bounds may depend on other sites.
        is_drawn: Whether the kernel keeps what it has drawn.
    """

    is_traced: bool
    may_move: bool
    is_drawn: bool

    @classmethod
    def of(cls, stein: Any) -> "_Found":
        """What a `SteinVI` keeps that was set up in a trace that has not ended."""
        is_traced = holds_tracers(stein.guide, stein.constrain_fn)
        return cls(is_traced, may_move(stein.guide), _is_drawn(stein.kernel_fn))


def _started(stein: Any, key: PRNGKey, rows: Any) -> Any:
    with feasible():  # the trace of the model is for the supports of its sites
        state = stein.init(key, 1.0, **rows)
    return jax.tree.map(lambda x: jnp.asarray(x)[None], state)


def _is_drawn(kernel: Any) -> bool:
    """Whether a kernel, set up in a trace, keeps what it has drawn."""
    inside = jax.tree.leaves(list(vars(kernel).values()))
    return any(
        isinstance(x, jax.core.Tracer) or (isinstance(x, SteinKernel) and _is_drawn(x))
        for x in inside
    )
