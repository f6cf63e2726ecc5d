"""Posterior predictive draws of all members, streamed over rows."""

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

Statistic = Callable[[Array], Array]


class Predictor:
    """Compiled predictions of one ensemble, kept for later calls of the same kind."""

    def __init__(self) -> None:
        self._compiled: dict[Any, Callable[..., dict[str, Array]]] = {}
        self._looks: dict[int, Look] = {}

    def __call__(
        self,
        drawn: Drawn,
        params: dict[str, Array],
        key: PRNGKey,
        parts: Arguments,
        num_samples: int,
        block: int,
        sites: tuple[str, ...] | None,
        statistic: Statistic | None,
    ) -> dict[str, Array]:
        """Draws (draws, members, *site) of the sites asked for; see `EnsembleSVI.predict`."""
        self._looks.setdefault(id(drawn), Look(drawn.model)).at_layers(parts)
        num_rows = parts.num_rows or 1
        block = min(block, num_rows)
        grows = _grown(drawn, parts, block)
        # The names and axes follow from the arguments' kind and shapes, as the program does.
        cache_key = (id(drawn), parts.frame, sites)
        if cache_key not in self._compiled:
            self._compiled[cache_key] = _compile(drawn, parts.frame, sites, grows)
        draw = self._compiled[cache_key]
        keys = random.split(key, num_samples)
        out: dict[str, Any] = {}
        for start in range(0, num_rows, block):
            # The last block is moved back to be full; the rows that overlap are drawn again.
            at = min(start, num_rows - block)
            rows = [None if x is None else x[at : at + block] for x in parts.rows]
            numbers = at + np.arange(block) if parts.num_rows else np.arange(1)
            found = draw(params, keys, numbers, rows, parts.shared)
            if statistic is not None:
                # Outside of the program: a function made anew for each call, as lambdas
                # are, would compile and keep a program each time.
                found = {name: statistic(value) for name, value in found.items()}
            for name, value in found.items():
                axis = 0 if statistic is not None else grows.get(name, -3) + 2
                if axis < 0 or num_rows == block:
                    out.setdefault(name, value)
                    continue
                if name not in out:
                    shape = (*value.shape[:axis], num_rows, *value.shape[axis + 1 :])
                    out[name] = np.empty(shape, value.dtype)
                where = (slice(None),) * axis + (slice(at, at + block),)
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
                members = jax.tree.leaves(params)[0].shape[0]
                each = lambda key: jax.vmap(one)(params, random.split(key, members))
                return jax.lax.map(each, keys)

            self._compiled[cache_key] = jax.jit(draw)
        keys = random.split(key, num_samples)
        return self._compiled[cache_key](params, keys, parts.rows, parts.shared)


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


def _compile(
    drawn: Drawn,
    frame: Frame,
    sites: tuple[str, ...] | None,
    grows: dict[str, int],
) -> Callable[..., dict[str, Array]]:
    """A compiled function of one block of rows, for all draws and members."""

    def one(
        params: dict[str, Array],
        key: PRNGKey,
        block: Any,
        args: tuple,
        kwargs: dict[str, Any],
    ) -> dict[str, Array]:
        key_guide, key_model = random.split(key)
        values = latents(drawn, params, key_guide, args, kwargs)
        # Noise differs between blocks, the weights do not.
        model = seed(drawn.model, random.fold_in(key_model, block))
        found = trace(substitute(model, data={**params, **values})).get_trace(
            *args, **kwargs
        )
        for name in sites or ():
            _checks.one_of("return_sites", name, sorted(found))
        return {name: site["value"] for name, site in found.items() if is_asked(name, site)}

    def is_asked(name: str, site: Message) -> bool:
        if sites is not None:
            return name in sites
        is_drawn = site["type"] == "sample" and not site["is_observed"]
        return name in grows and (is_drawn or site["type"] == "deterministic")

    @jax.jit
    def draw(
        params: Any, keys: Any, numbers: Any, rows: Any, shared: Any
    ) -> dict[str, Array]:
        args, kwargs = put_together(rows, shared, frame)
        members = jax.tree.leaves(params)[0].shape[0]

        def each(key: PRNGKey) -> dict[str, Array]:
            keys = random.split(key, members)
            return jax.vmap(lambda p, k: one(p, k, numbers[0], args, kwargs))(params, keys)

        return jax.lax.map(each, keys)

    return draw


def _grown(drawn: Drawn, parts: Arguments, block: int) -> dict[str, int]:
    """The sites that grow with the rows, and their axis."""
    if parts.num_rows is None:
        return {}
    sites = row_axes(drawn.model, parts, block, block + 1)
    return {name: axis for name, (_, axis) in sites.items()}
