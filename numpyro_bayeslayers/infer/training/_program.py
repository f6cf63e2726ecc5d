"""The compiled functions of a variational ensemble, one set per kind of data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree
from numpyro.infer.svi import SVIState

from ... import _processes
from ..._typing import PRNGKey
from ..compilation._effort import once
from ..compilation._jit import Frame, jit_on_arrays
from ..compilation._recent import Recent
from ..rows._arguments import Arguments, on_shapes, put_together
from ..rows._layout import HERE, Layout
from ..rows._look import Look
from ..rows._rows import scaled_sites
from ._alike import are_alike, is_random, warn_alike
from ._description import data_texts
from ._divided import check_apart
from ._guides import needs_hessian, scale_name
from ._held_out import kind_of_rows, score_of
from ._identity import check_state
from ._init import ANYWHERE, APART, Starts, check_landed
from ._member import Member
from ._state import EnsembleSVIState, named, plain
from ._trainer import Trainer
from ._validation import NUM_DRAWS, Held, Scorer

_MEND_ALIKE = (
    "Use a prior in place of an optimized parameter (see the table of `lift`), or make the "
    "guide or the initial values of parameters random."
)


class Program:
    """Compiled functions of all members, for arguments of one structure and number of rows.

    Args:
        member: The functions of one member, after set-up.
        shapes: The shapes of its state and parameters.
        frame: Arguments that are not arrays.
        names: The sites scaled for a minibatch.
        size: The number of members.
        rows: The number of rows per step; None for all.
        layout: The placement of members and rows on devices.
    """

    def __init__(
        self,
        member: Member,
        shapes: Any,
        frame: Frame,
        names: frozenset[str],
        size: int,
        rows: int | None = None,
        layout: Layout = HERE,
    ) -> None:
        self.member = member
        self.state_shapes, self.param_shapes = shapes
        self.description = member.description(self.param_shapes, size)
        self.rows = rows
        self.is_started = (
            False  # whether members were initialized, so that the guide can be used
        )

        def init(
            key: PRNGKey, data: Any, shared: Any, starts: Starts
        ) -> tuple[EnsembleSVIState, Any]:
            first = [None if x is None else x[:rows] for x in data]
            args, kwargs = put_together(first, shared, frame)
            keys = jax.random.split(key, size)
            one = lambda key, starts: member.init(key, args, kwargs, starts)
            state, found = jax.vmap(one)(keys, starts)
            orders = jax.vmap(lambda _: key)(jnp.arange(size))
            if layout.mesh is not None:
                found = _of_first(found, layout)
            return layout.keep(EnsembleSVIState(*state, orders)), found

        def step(
            state: SVIState, batch: Any, shared: Any, scale: Any
        ) -> tuple[SVIState, Array]:
            args, kwargs = put_together(batch, shared, frame)
            of = args, kwargs, names, scale, member.pushed(state)
            found = jax.vmap(lambda s: member.update(s, *of))(state)
            return layout.keep(found)

        self._update = jit_on_arrays(step)
        self.init = once(init)
        self._params = once(jax.vmap(lambda s: member.constrained(member.unconstrained(s))))
        self.constrain = once(jax.vmap(member.constrained))

        def finish(params: Any, state: SVIState, rows: Any, shared: Any) -> Any:
            args, kwargs = put_together(rows, shared, frame)
            return jax.vmap(lambda p, s: member.finished(p, s, args, kwargs))(params, state)

        self.finish = jax.jit(finish)
        self.trainer = Trainer(step, member.unconstrained, layout)
        self._size = size
        self._scorers: Recent[tuple[Scorer, int]] = Recent()

    @property
    def start_names(self) -> frozenset[str]:
        """The parameters with an initial value: all except those computed at the end."""
        last = (
            {scale_name(self.member.guide)} if needs_hessian(self.member.guide) else set()
        )
        return frozenset(self.param_shapes) - last

    def _known(self, state: SVIState) -> dict[str, Any]:
        """The parameters and mutable state of all members, in a trace."""
        params = jax.vmap(self.member.constrained)(self.member.unconstrained(state))
        return (state.mutable_state or {}) | params

    def update(
        self, state: Any, rows: Any, shared: Any, scale: Any
    ) -> tuple[EnsembleSVIState, Array]:
        """A step of all members, without recording the rows in the state."""
        check_state(self, state)
        after, losses = self._update(plain(state), rows, shared, scale)
        return named(after, state, self.description), losses

    def params(self, state: Any) -> dict[str, Array]:
        """The parameters of all members by site name, in constrained space."""
        check_state(self, state)
        return self._params(plain(state))

    def held(
        self,
        parts: Arguments,
        fitted: Arguments,
        sites: tuple[str, ...] | None,
        state: Any,
        key: PRNGKey,
    ) -> Held:
        """Held-out rows with the program that scores them.

        Args:
            parts: The arguments with the held-out rows.
            fitted: The arguments with the rows of the fit.
            sites: The observed sites that are scored; all if None.
            state: A state of all members.
            key: The random key of the draws.

        Raises:
            ValueError: If these rows cannot be scored.
        """
        count = parts.num_rows or 0
        kind = parts.frame, fitted.frame, count, sites

        def make() -> tuple[Scorer, int]:
            how = kind_of_rows(self.member.drawn.model, parts, sites)
            params = self.member.unconstrained(state)
            is_drawn = is_random(self.member, params, fitted, self.rows or 0)
            draws = NUM_DRAWS if is_drawn else 1
            frames = parts.frame, fitted.frame
            score = score_of(
                self.member.drawn, self._known, how, *frames, self._size, draws
            )
            return Scorer(score, self.member.unconstrained), draws

        scorer, draws = self._scorers.get(kind, make)
        arrays = parts.rows, parts.shared, fitted.rows, fitted.shared, key
        return Held(scorer, arrays, count, draws, data_texts(parts))


class Programs:
    """The programs of one ensemble, built when first needed and cached.

    Args:
        make_member: Builds the functions of one member; each program has its own, since an
            autoguide is set up for one number of rows.
        size: The number of members.
        layout: The placement of members and rows on devices.
    """

    def __init__(
        self, make_member: Callable[[], Member], size: int, layout: Layout = HERE
    ) -> None:
        self._make_member = make_member
        self.size = size
        self.layout = layout
        self.look = Look(make_member().model)
        self._made: Recent[Program] = Recent()
        self._apart: set[Any] = set()
        self._latest: Program | None = None

    @property
    def latest(self) -> Program:
        """The program that last initialized members; its guide can be used.

        Raises:
            RuntimeError: Before `init` or `run`.
        """
        if self._latest is None:
            raise RuntimeError("Nothing is set up yet: call `init` or `run` first.")
        return self._latest

    @property
    def started(self) -> list[Program]:
        """The programs whose guides can be used."""
        latest = () if self._latest is None else (self._latest,)
        return [p for p in dict.fromkeys((*latest, *self._made)) if p.is_started]

    def get(
        self, parts: Arguments, rows: int | None, *, num_rows: int | None = None
    ) -> Program:
        """The program for steps on `rows` rows, scaled to `num_rows` rows if given.

        Raises:
            ValueError: If the model or the guide does not allow minibatches.
        """
        key = (parts.frame, rows, num_rows is not None)
        return self._made.get(key, lambda: self._make(parts, rows, num_rows))

    def _make(self, parts: Arguments, rows: int | None, num_rows: int | None) -> Program:
        member = self._make_member()
        names: frozenset[str] = frozenset()
        in_parts = num_rows is not None
        member.expect(num_rows if in_parts else parts.num_rows, in_parts=in_parts)
        if num_rows is not None and rows is not None:
            guide = member.fresh_guide()
            names = scaled_sites(member.model, guide, parts, rows, num_rows)
        shapes = on_shapes(member.set_up, parts, rows or 0)
        of = member, shapes, parts.frame, names, self.size, rows, self.layout
        return Program(*of)

    def check_apart(self, parts: Arguments) -> None:
        """Check once that a fraction of such rows can be held out.

        Raises:
            ValueError: If rows depend on each other.
        """
        kind = parts.frame, parts.num_rows
        if kind not in self._apart and self.look.model is not None:
            check_apart(self.look.model, parts)
            self._apart.add(kind)

    def set_up(self, parts: Arguments, batch_size: int | None) -> PyTree:
        """Prepare for predictions from existing parameters.

        Args:
            parts: The arguments of the run that produced them.
            batch_size: The number of rows of its steps; None for all.

        Returns:
            The shapes of the parameters.
        """
        of = None if batch_size is None else parts.num_rows
        program = self.get(parts, batch_size or parts.num_rows, num_rows=of)
        if not program.is_started:
            program.member.settle_anywhere()
        self._latest = program
        lead = lambda x: jax.ShapeDtypeStruct((self.size, *x.shape), x.dtype)
        return jax.tree.map(lead, program.param_shapes)

    def start(
        self,
        program: Program,
        key: PRNGKey,
        parts: Arguments,
        starts: Starts = ANYWHERE,
        *,
        stacklevel: int = 4,
    ) -> EnsembleSVIState:
        """The initial state of all members, placed on the devices.

        With minibatches, members are initialized on the first rows of the data.

        Raises:
            ValueError: If a member cannot start at its given values.
        """
        program.is_started = True
        data = self.layout.data(parts)
        state, (found, there) = program.init(key, data.rows, data.shared, starts)
        check_landed(there)
        # The first member's values, on the host to avoid compiling.
        first = lambda x: jax.device_put(_processes.whole(x)[0])
        program.member.settle(jax.tree.map(first, found))
        self._latest = program
        params = program.member.unconstrained(plain(state))
        rows = program.rows or 0
        if are_alike(params) and not is_random(program.member, params, parts, rows):
            mend = _MEND_ALIKE if starts is ANYWHERE else APART
            warn_alike(params, mend, stacklevel=stacklevel)
        state = self.layout.members(state)
        return state._replace(description=program.description)


def _of_first(found: tuple[PyTree, PyTree], layout: Layout) -> tuple[PyTree, PyTree]:
    """What the guide of a first member found, if members are on several devices."""
    of_guides, there = found
    return layout.keep_whole((jax.tree.map(lambda x: x[:1], of_guides), there))
