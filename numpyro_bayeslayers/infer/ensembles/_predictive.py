"""Posterior predictive draws of all members."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array
from numpyro.handlers import seed, trace

from ... import _checks, _processes
from ..._threads import ALONE
from ..._typing import Message, PRNGKey
from ..compilation._effort import Effort, effort, options
from ..compilation._host import seldom
from ..compilation._recent import Recent, shapes_of
from ..rows._arguments import Arguments, put_together
from ..rows._layout import HERE, Layout
from ..rows._look import Look
from ..rows._rows import row_axes
from ..training._member import Drawn, latents
from ._blocks import Cut, check_blocks, cut_to_fit, one_for_all_rows
from ._rows_of_fit import (
    Fitted,
    Told,
    refuse_joint_latents,
    refuse_new_params,
    whose,
    with_rows,
)

Statistic = Callable[[Array], Array]


class Predictor:
    """Compiled predictions of one ensemble, cached for later calls of the same kind.

    Args:
        layout: The placement of members and rows on devices.
    """

    def __init__(self, layout: Layout = HERE) -> None:
        self._layout = layout
        self._compiled: Recent[Any] = Recent()
        self._looks: Recent[Look] = Recent()
        self._grown: Recent[Any] = Recent()
        self._cuts: Recent[Cut] = Recent()
        self._checked: Recent[bool] = Recent()

    def __call__(
        self,
        drawn: Drawn,
        params: dict[str, Any],
        key: PRNGKey,
        parts: Arguments,
        num_samples: int,
        block: int | None,
        sites: tuple[str, ...] | None,
        statistic: Statistic | Mapping[str, Statistic] | None,
        told: Told = Told(),
    ) -> dict[str, Array]:
        """Draws (draws, members, *site) of the requested sites; see `EnsembleSVI.predict`.

        A statistic may be one function for all sites, or one per site that keeps the site's
        axes.
        """
        with ALONE:
            self._looks.get(drawn, lambda: Look(drawn.model)).at_layers(parts)
            task = self._task(drawn, params, parts, sites, told)
            params = self._layout.members(params)
            num_rows = parts.num_rows or 1
            how = key, num_samples
            is_reduced = bool(statistic)
            make = lambda: self._cut(task, params, how, block, is_reduced=is_reduced)
            numbers = num_samples, _count(params), block, is_reduced
            cut = self._cuts.get((*task.key, _kind(parts), *numbers), make)
            if cut.rows < num_rows:
                task = task.in_blocks()
            level = effort(num_samples, num_rows, params)
            draw, grows = self._program(task, num_samples, cut, level), task.grows
            out: dict[str, Any] = {}
            for start in range(0, num_rows, cut.rows):
                # The last block is shifted back to be full; overlapping rows are drawn again.
                at = min(start, num_rows - cut.rows)
                found = draw(params, key, *task.block(at, cut.rows, self._layout))
                for name, value in found.items():
                    reduce = _of_site(statistic, name)
                    # Outside the program: a new function in each call, such as a lambda, would
                    # compile and cache a program each time.
                    value = value if reduce is None else reduce(value)
                    axis = grows.get(name, -3) + (2 if reduce is None else 0)
                    axis = 0 if callable(statistic) else axis
                    if axis < 0 or num_rows == cut.rows:
                        out.setdefault(name, value)
                        continue
                    if name not in out:
                        shape = (*value.shape[:axis], num_rows, *value.shape[axis + 1 :])
                        out[name] = np.empty(shape, value.dtype)
                    where = (slice(None),) * axis + (slice(at, at + cut.rows),)
                    out[name][where] = _processes.whole(value)
            return {name: jnp.asarray(value) for name, value in out.items()}

    def posterior(
        self,
        drawn: Drawn,
        params: dict[str, Any],
        key: PRNGKey,
        parts: Arguments,
        num_samples: int,
    ) -> dict[str, Array]:
        """Draws of the latent sites from each member's guide, (draws, members, *event)."""
        with ALONE:
            level = effort(num_samples, 1, params)

            def draw(
                params: Any, key: Any, rows: Any, shared: Any, over: Any = jax.vmap
            ) -> dict[str, Array]:
                args, kwargs = put_together(rows, shared, parts.frame)
                one = lambda params, key: latents(drawn, params, key, args, kwargs)
                each = lambda key: jax.vmap(one)(params, random.split(key, _count(params)))
                return over(each)(random.split(key, num_samples))

            def make() -> Any:
                one_by_one = functools.partial(draw, over=_one_by_one)
                return seldom(draw, jax.jit(one_by_one, compiler_options=options(level)))

            kind = drawn, _kind(parts), "posterior", num_samples, level
            draws = self._compiled.get(kind, make)
            return draws(self._layout.members(params), key, parts.rows, parts.shared)

    def _task(
        self,
        drawn: Drawn,
        params: dict[str, Any],
        parts: Arguments,
        sites: tuple[str, ...] | None,
        told: Told,
    ) -> "_Task":
        """The task, in which rows are matched with those of the fit where it matters."""
        if parts.num_rows is None:
            return _Task(drawn, parts, sites, {}, {})
        num_rows, kind = parts.num_rows, (drawn, _kind(parts))

        def look() -> Any:
            grown = row_axes(drawn.model, parts, num_rows, num_rows + 1)
            return grown, _local(drawn, params, told.fitted or parts, grown)

        grown, local = self._grown.get(kind, look)
        task = _Task(
            drawn, parts, sites, grown, {n: axis for n, (axis, _) in local.items()}
        )
        if not local:
            return task
        names = ", ".join(map(repr, local))
        count = next(count for _, count in local.values())
        found = whose(parts, told, count, names)
        are_params = [n for n in local if grown[n][0]["type"] == "param"]
        refuse_new_params(are_params, found.places)
        if found.kind != "same" and (kind, found.kind, sites) not in self._checked:
            data = parts if told.fitted is None else told.fitted.parts
            has_new = found.kind != "own"
            refuse_joint_latents(
                drawn.model, data, list(local), task.predicted, has_new=has_new
            )
            self._checked.get((kind, found.kind, sites), lambda: True)
        at_fit = None if told.fitted is None else told.fitted.parts
        return task._replace(kind=found.kind, places=found.places, at_fit=at_fit)

    def _program(self, task: "_Task", num_samples: int, cut: Cut, level: Effort) -> Any:
        # Names, axes and program are determined by the types and shapes of the arguments.
        kind = (*task.key, *task.shapes(cut.rows), num_samples, cut.members, level)
        make = lambda: _compile(task, num_samples, cut.members, level, self._layout)
        return self._compiled.get(kind, make)

    def _cut(
        self,
        task: "_Task",
        params: dict[str, Any],
        how: tuple[PRNGKey, int],
        block: int | None,
        *,
        is_reduced: bool,
    ) -> Cut:
        """The block size: everything, unless the user or memory requires less."""
        parts, num_rows = task.parts, task.parts.num_rows or 1
        key, num_samples = how
        all_of_it = Cut(min(block or num_rows, num_rows), _count(params))
        if all_of_it.rows < num_rows:
            check_blocks(task.drawn.model, parts, all_of_it.rows, task.predicted)
            task = task.in_blocks()
        level = effort(num_samples, num_rows, params)
        draw = self._program(task, num_samples, all_of_it, level)
        given = params, key, *task.block(0, all_of_it.rows, self._layout)
        small = draw.program(*given)
        if (
            small is not None
            and cut_to_fit(small, all_of_it, is_reduced=is_reduced) == all_of_it
        ):
            return all_of_it
        # Traced but not compiled; the call does not trace again.
        program = draw.compiled.trace(*given).jaxpr
        cut = cut_to_fit(program, all_of_it, is_reduced=is_reduced)
        if block is not None:
            cut = cut._replace(rows=all_of_it.rows)
        elif cut.rows < num_rows:
            try:
                check_blocks(task.drawn.model, parts, cut.rows, task.predicted)
            except Exception:  # it combines rows, or does not run on a few rows
                cut = cut._replace(rows=num_rows)
        return cut


def _of_site(
    statistic: Statistic | Mapping[str, Statistic] | None, name: str
) -> Statistic | None:
    return statistic.get(name) if isinstance(statistic, Mapping) else statistic


def _count(params: dict[str, Any]) -> int:
    return jax.tree.leaves(params)[0].shape[0]


def _kind(parts: Arguments) -> Any:
    return parts.frame, shapes_of(parts.rows, parts.shared)


class _Task(NamedTuple):
    """A prediction task.

    Args:
        drawn: The model and the guide.
        parts: Their arguments.
        sites: The requested sites; None for all that grow with the rows.
        grown: The sites that grow with the rows, and their row axis.
        local: The latent ones among them, with a value for each row of the fit.
        kind: Which values the rows have, see `Whose`; None without such sites.
        places: The index of each row among the rows of the fit.
        at_fit: The arguments of the fit, which are passed to the guide in that case.
    """

    drawn: Drawn
    parts: Arguments
    sites: tuple[str, ...] | None
    grown: dict[str, tuple[Message, int]]
    local: dict[str, int]
    kind: str | None = None
    places: Any = None
    at_fit: Arguments | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """The key of the compiled program, apart from shapes."""
        frame = None if self.at_fit is None else self.at_fit.frame
        return self.drawn, self.parts.frame, self.sites, self.kind, frame

    def shapes(self, size: int) -> tuple[Any, ...]:
        """The shapes of the arrays of `size` rows and of shared arrays."""
        parts, fit = self.parts, self.at_fit
        rows = tuple((x.shape[1:], x.dtype) for x in parts.rows if x is not None)
        others = parts.shared if fit is None else (parts.shared, fit.rows, fit.shared)
        return size, rows, shapes_of(others)

    @property
    def grows(self) -> dict[str, int]:
        """The sites that grow with the rows, and their row axis."""
        return {name: axis for name, (_, axis) in self.grown.items()}

    @property
    def predicted(self) -> tuple[str, ...]:
        """The names of the predicted sites."""
        of_rows = [name for name, (site, _) in self.grown.items() if _is_predicted(site)]
        return tuple(of_rows) if self.sites is None else self.sites

    def in_blocks(self) -> "_Task":
        """The same task for blocks of rows."""
        return self._replace(kind="own") if self.kind == "same" else self

    def block(self, at: int, size: int, layout: Layout = HERE) -> tuple[Any, ...]:
        """The index of the first row, `size` rows from there on, and the shared arrays."""
        parts, places = self.parts, self.places
        rows = parts.rows
        if size != (parts.num_rows or 1):
            rows = [None if x is None else x[at : at + size] for x in rows]
            places = None if places is None else places[at : at + size]
        fit = None if self.at_fit is None else (self.at_fit.rows, self.at_fit.shared)
        return np.int32(at), layout.some_rows(rows), parts.shared, places, fit


def _local(
    drawn: Drawn,
    params: dict[str, Any],
    fitted: Fitted | Arguments,
    grown: dict[str, tuple[Message, int]],
) -> dict[str, tuple[int, int]]:
    """The sites with a value for each row of the fit: their row axis, and the number of rows."""
    kinds = {name: site["type"] for name, (site, _) in grown.items()}
    candidates = [n for n, kind in kinds.items() if kind in ("sample", "param")]
    if not candidates:
        return {}
    parts = fitted.parts if isinstance(fitted, Fitted) else fitted

    def values(params: Any, key: PRNGKey, rows: Any, shared: Any) -> dict[str, Array]:
        args, kwargs = put_together(rows, shared, parts.frame)
        first = jax.tree.map(lambda x: x[0], params)
        return first | latents(drawn, first, key, args, kwargs)

    key = random.key(0)
    shapes = jax.eval_shape(values, params, key, parts.rows, parts.shared)
    found = {n: shapes[n].shape for n in candidates if n in shapes}
    return {n: (grown[n][1], shape[grown[n][1]]) for n, shape in found.items()}


def _is_predicted(site: Message) -> bool:
    """Whether a site with rows is predicted by default."""
    is_drawn = site["type"] == "sample" and not site["is_observed"]
    return is_drawn or site["type"] == "deterministic"


def _compile(
    task: _Task, num_samples: int, members: int, level: Effort, layout: Layout = HERE
) -> Any:
    """The compiled function of one block of rows, for all draws and some members at a time."""
    drawn, sites, grows, local, kind = (
        task.drawn,
        task.sites,
        task.grows,
        task.local,
        task.kind,
    )
    frame, frame_of_fit = task.parts.frame, task.at_fit and task.at_fit.frame

    def one(
        params: dict[str, Any],
        key: PRNGKey,
        start: Any,
        places: Any,
        given: tuple[tuple[Any, ...], dict[str, Any]],
        fit: tuple[tuple[Any, ...], dict[str, Any]],
    ) -> dict[str, Array]:
        key_guide, key_model = random.split(key)
        values = params | latents(drawn, params, key_guide, *fit)
        # Noise differs between blocks; values shared by all rows do not.
        model = seed(drawn.model, random.fold_in(key_model, start))
        model = one_for_all_rows(model, key_model, grows)
        args, kwargs = given
        model = with_rows(model, values, local, kind, places)
        found = trace(model).get_trace(*args, **kwargs)
        for name in sites or ():
            _checks.one_of("return_sites", name, sorted(found))
        return {name: site["value"] for name, site in found.items() if is_asked(name, site)}

    def is_asked(name: str, site: Message) -> bool:
        return name in grows and _is_predicted(site) if sites is None else name in sites

    def draw(
        params: Any,
        key: Any,
        start: Any,
        rows: Any,
        shared: Any,
        places: Any,
        fit: Any,
        over: Any = jax.vmap,
    ) -> dict[str, Array]:
        count, given = _count(params), put_together(rows, shared, frame)
        at_fit = given if frame_of_fit is None else put_together(*fit, frame_of_fit)
        of_one = lambda params, key: one(params, key, start, places, given, at_fit)

        def each(key: PRNGKey) -> dict[str, Array]:
            pairs = params, random.split(key, count)
            if members >= count:
                return jax.vmap(of_one)(*pairs)
            return jax.lax.map(lambda pair: of_one(*pair), pairs, batch_size=members)

        return layout.keep_along(over(each)(random.split(key, num_samples)))

    one_by_one = functools.partial(draw, over=_one_by_one)
    compiled = jax.jit(one_by_one, compiler_options=options(level))
    return seldom(draw, compiled)


def _one_by_one(each: Any) -> Any:
    return functools.partial(jax.lax.map, each)
