"""Quantities that layers request from a fit, computed at its end."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.handlers import block, substitute
from numpyro.infer.autoguide import AutoGuide

from ..._typing import Model
from ..rows._arguments import Arguments
from ..rows._look import Look
from ..training._member import Drawn, latents


def look_at_fit(
    look: Look,
    drawn: Drawn,
    params: dict[str, Any],
    parts: Arguments,
    *,
    guide: Model | None = None,
) -> None:
    """Show layers the median of the posterior, or a draw from it.

    Args:
        look: The object that collected the requests; without requests nothing is done.
        drawn: The model and the guide.
        params: Parameters of the guide of one member, or values of the model's sites.
        parts: The data.
        guide: The guide itself, which may be an autoguide and know its median.
    """
    if not look.is_open:
        return

    def values(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if isinstance(guide, AutoGuide):
            try:
                return guide.median(params)
            except NotImplementedError:
                pass
        return latents(drawn, params, jax.random.key(0), args, kwargs)

    def fitted(*args: Any, **kwargs: Any) -> None:
        with block():  # an autoguide may run the model by itself
            found = values(args, kwargs)
        substitute(drawn.model, data={**params, **found})(*args, **kwargs)

    Look(fitted, before=look).at_layers(parts)


def medians(samples: dict[str, Any]) -> dict[str, Any]:
    """The median of each site over the leading axis of draws; the first draw for counts."""
    is_real = lambda x: jnp.issubdtype(x.dtype, jnp.inexact)
    return {n: jnp.median(x, 0) if is_real(x) else x[0] for n, x in samples.items()}
