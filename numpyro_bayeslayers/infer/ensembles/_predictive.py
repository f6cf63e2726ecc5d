"""Posterior predictive draws of all members."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array
from numpyro.handlers import seed, substitute, trace

from ... import _checks
from ..._typing import Message, PRNGKey
from ..training._arguments import Arguments, put_together
from ..training._jit import Frame
from ..training._look import Look
from ..training._member import Drawn
from ..training._rows import row_axes
from ._blocks import Cut, check_blocks, cut_to_fit

Statistic = Callable[[Array], Array]


class Predictor:
    """Compiled predictions of one ensemble, kept for later calls of the same kind."""

    def __init__(self) -> None:
        self._compiled: dict[Any, Any] = {}
        self._looks: dict[int, Look] = {}
        self._grown: dict[Any, dict[str, tuple[Message, int]]] = {}
        self._cuts: dict[Any, Cut] = {}

    def __call__(
        self,
        drawn: Drawn,
        params: dict[str, Array],
        key: PRNGKey,
        parts: Arguments,
        num_samples: int,
        block: int | None,
        sites: tuple[str, ...] | None,
        statistic: Statistic | None,
    ) -> dict[str, Array]:
        """Draws (draws, members, *site) of the sites asked for; see `EnsembleSVI.predict`."""
        self._looks.setdefault(id(drawn), Look(drawn.model)).at_layers(parts)
        keys = random.split(key, num_samples)
        grown = self._sites_of_rows(drawn, parts)
        grows = {name: axis for name, (_, axis) in grown.items()}
        num_rows = parts.num_rows or 1
        is_reduced = statistic is not None
        cut = self._cut(drawn, params, keys, parts, block, sites, is_reduced)
        draw = self._program(drawn, parts.frame, sites, grows, cut.members)
        out: dict[str, Any] = {}
        for start in range(0, num_rows, cut.rows):
            # The last block is moved back to be full; the rows that overlap are drawn again.
            at = min(start, num_rows - cut.rows)
            found = draw(params, keys, *_block(parts, at, cut.rows))
            if statistic is not None:
                # Outside of the program: a function made anew for each call, as lambdas
                # are, would compile and keep a program each time.
                found = {name: statistic(value) for name, value in found.items()}
            for name, value in found.items():
                axis = 0 if statistic is not None else grows.get(name, -3) + 2
                if axis < 0 or num_rows == cut.rows:
                    out.setdefault(name, value)
                    continue
                if name not in out:
                    shape = (*value.shape[:axis], num_rows, *value.shape[axis + 1 :])
                    out[name] = np.empty(shape, value.dtype)
                where = (slice(None),) * axis + (slice(at, at + cut.rows),)
                out[name][where] = np.asarray(value)
        return {name: jnp.asarray(value) for name, value in out.items()}

    def posterior(
        self,
        drawn: Drawn,
        params: dict[str, Array],
        key: PRNGKey,
        parts: Arguments,
        num_samples: int,
    ) -> dict[str, Array]:
        """Draws of the latent sites from each member's guide, (draws, members, *event)."""
        cache_key = (id(drawn), parts.frame, "posterior")
        if cache_key not in self._compiled:

            def draw(params: Any, keys: Any, rows: Any, shared: Any) -> dict[str, Array]:
                args, kwargs = put_together(rows, shared, parts.frame)
                one = lambda params, key: latents(drawn, params, key, args, kwargs)
                each = lambda key: jax.vmap(one)(params, random.split(key, _count(params)))
                return jax.lax.map(each, keys)

            self._compiled[cache_key] = jax.jit(draw)
        keys = random.split(key, num_samples)
        return self._compiled[cache_key](params, keys, parts.rows, parts.shared)

    def _sites_of_rows(
        self, drawn: Drawn, parts: Arguments
    ) -> dict[str, tuple[Message, int]]:
        """The sites that grow with the rows, and their axis; looked for once."""
        if parts.num_rows is None:
            return {}
        kind = (id(drawn), _kind(parts))
        if kind not in self._grown:
            n = parts.num_rows
            self._grown[kind] = row_axes(drawn.model, parts, n, n + 1)
        return self._grown[kind]

    def _program(
        self,
        drawn: Drawn,
        frame: Frame,
        sites: tuple[str, ...] | None,
        grows: dict[str, int],
        members: int,
    ) -> Any:
        # The names and axes follow from the arguments' kind and shapes, as the program does.
        cache_key = (id(drawn), frame, sites, members)
        if cache_key not in self._compiled:
            self._compiled[cache_key] = _compile(drawn, frame, sites, grows, members)
        return self._compiled[cache_key]

    def _cut(
        self,
        drawn: Drawn,
        params: dict[str, Array],
        keys: PRNGKey,
        parts: Arguments,
        block: int | None,
        sites: tuple[str, ...] | None,
        is_reduced: bool,
    ) -> Cut:
        """What is computed at a time: all, if neither the user nor memory asks for less."""
        kind = (
            id(drawn),
            _kind(parts),
            sites,
            len(keys),
            _count(params),
            block,
            is_reduced,
        )
        if kind in self._cuts:
            return self._cuts[kind]
        grown, num_rows = self._sites_of_rows(drawn, parts), parts.num_rows or 1
        names = sites or tuple(n for n, (site, _) in grown.items() if _is_predicted(site))
        all_of_it = Cut(min(block or num_rows, num_rows), _count(params))
        if all_of_it.rows < num_rows:
            check_blocks(drawn.model, parts, all_of_it.rows, names)
        grows = {name: axis for name, (_, axis) in grown.items()}
        draw = self._program(drawn, parts.frame, sites, grows, all_of_it.members)
        # Traced, not compiled; the call traces no second time.
        program = draw.trace(params, keys, *_block(parts, 0, all_of_it.rows)).jaxpr
        cut = cut_to_fit(program, all_of_it, is_reduced=is_reduced)
        if block is not None:
            cut = cut._replace(rows=all_of_it.rows)
        elif cut.rows < num_rows:
            try:
                check_blocks(drawn.model, parts, cut.rows, names)
            except Exception:  # it looks across rows, or does not run on a few
                cut = cut._replace(rows=num_rows)
        self._cuts[kind] = cut
        return cut


def _count(params: dict[str, Array]) -> int:
    return jax.tree.leaves(params)[0].shape[0]


def _kind(parts: Arguments) -> Any:
    arrays = jax.tree.leaves((parts.rows, parts.shared))
    return parts.frame, tuple((x.shape, x.dtype) for x in arrays)


def _block(parts: Arguments, at: int, size: int) -> tuple[Any, list[Any], list[Any]]:
    """The number of the first row, `size` rows from it on, and what is no rows."""
    rows = parts.rows
    if size != (parts.num_rows or 1):
        rows = [None if x is None else x[at : at + size] for x in rows]
    return np.int32(at), rows, parts.shared


def latents(
    drawn: Drawn,
    params: dict[str, Array],
    key: PRNGKey,
    args: tuple,
    kwargs: dict[str, Any],
) -> dict[str, Array]:
    """One draw of the latent sites from the guide of one member."""
    guide = substitute(seed(drawn.guide, key), data=params)
    sites = trace(guide).get_trace(*args, **kwargs)
    return {
        name: site["value"]
        for name, site in sites.items()
        if site["type"] == "sample" and not site["infer"].get("is_auxiliary", False)
    }


def _is_predicted(site: Message) -> bool:
    """Whether a site of rows is given where none is asked for."""
    is_drawn = site["type"] == "sample" and not site["is_observed"]
    return is_drawn or site["type"] == "deterministic"


def _compile(
    drawn: Drawn,
    frame: Frame,
    sites: tuple[str, ...] | None,
    grows: dict[str, int],
    members: int,
) -> Any:
    """A compiled function of one block of rows, for all draws, some members at a time."""

    def one(
        params: dict[str, Array],
        key: PRNGKey,
        start: Any,
        args: tuple,
        kwargs: dict[str, Any],
    ) -> dict[str, Array]:
        key_guide, key_model = random.split(key)
        values = latents(drawn, params, key_guide, args, kwargs)
        # Noise differs between blocks, the weights do not.
        model = seed(drawn.model, random.fold_in(key_model, start))
        found = trace(substitute(model, data={**params, **values})).get_trace(
            *args, **kwargs
        )
        for name in sites or ():
            _checks.one_of("return_sites", name, sorted(found))
        return {name: site["value"] for name, site in found.items() if is_asked(name, site)}

    def is_asked(name: str, site: Message) -> bool:
        return name in grows and _is_predicted(site) if sites is None else name in sites

    @jax.jit
    def draw(
        params: Any, keys: Any, start: Any, rows: Any, shared: Any
    ) -> dict[str, Array]:
        args, kwargs = put_together(rows, shared, frame)
        count = _count(params)

        def each(key: PRNGKey) -> dict[str, Array]:
            pairs = params, random.split(key, count)
            if members >= count:
                return jax.vmap(lambda p, k: one(p, k, start, args, kwargs))(*pairs)
            of_one = lambda pair: one(*pair, start, args, kwargs)
            return jax.lax.map(of_one, pairs, batch_size=members)

        return jax.lax.map(each, keys)

    return draw
