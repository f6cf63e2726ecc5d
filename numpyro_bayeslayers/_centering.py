r"""Partially centered parameterizations of location-scale sites.

With the location $m$, the scale $s$ and the centeredness $c$, a site $\beta \sim F(m, s)$ is
drawn as $z \sim F(c\,m, s^c)$, from which $\beta = m + s^{1 - c}\,(z - c\,m)$ is computed.

A layer draws $z$ at the centeredness that it was made with, as a site of its own. It asks
first, by a ``"centering"`` message, whether a handler has another one; then that coordinate is
the site that is drawn, and the layer's own follows from it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.handlers import scope as stock_scope
from numpyro.primitives import _PYRO_STACK

from ._scope import join, scope
from .primitives import (
    POSTERIOR,
    Site,
    factorized_normal,
    message,
    posterior_of,
    sample_site,
)

#: What is added to the name of a site for the coordinate that a handler asks for.
RECENTERED = "_recentered"

FAMILIES = (
    dist.Normal,
    dist.StudentT,
    dist.Laplace,
    dist.Cauchy,
    dist.Gumbel,
    dist.Logistic,
    dist.SoftLaplace,
    dist.AsymmetricLaplace,
)

Law = Callable[[Any, Any], dist.Distribution]


class Around(NamedTuple):
    """What a site is drawn around.

    Args:
        own: The name of the site that is drawn without a handler, as it sees it.
        loc: The location m.
        scale: The scale s.
        centered: The centeredness that the site has by itself.
    """

    own: str
    loc: Any
    scale: Any
    centered: float


class Asked(NamedTuple):
    """What a handler answers to ``"centering"``.

    Args:
        name: The name of the coefficients, as it sees it.
        centered: The centeredness, a number or an array; None to leave it as it is.
        note: Is told of what the site is drawn around.
    """

    name: str
    centered: Any = None
    note: Callable[[Around], None] | None = None


class LocScale(NamedTuple):
    """A distribution with a location and a scale.

    Args:
        loc: The location.
        scale: The scale.
        law: The same family and shape at another location and scale.
        transforms: What is done to its draws, element by element.
    """

    loc: Any
    scale: Any
    law: Law
    transforms: tuple[Any, ...] = ()


def loc_scale_of(fn: Any) -> LocScale | None:
    """A distribution by its location and scale; None if it has none.

    Plated, expanded and elementwise transformed ones have those of their base.
    """
    shape, event_dim = fn.shape(), fn.event_dim
    transforms: tuple[Any, ...] = ()
    while isinstance(
        fn, (dist.Independent, dist.ExpandedDistribution, dist.TransformedDistribution)
    ):
        if isinstance(fn, dist.TransformedDistribution):
            if any(t.domain.event_dim or t.codomain.event_dim for t in fn.transforms):
                return None
            transforms = (*fn.transforms, *transforms)
        fn = fn.base_dist
    if not isinstance(fn, FAMILIES):
        return None
    names = [name for name in fn.arg_constraints if name not in ("loc", "scale")]
    more = {name: getattr(fn, name) for name in names}

    def law(loc: Any, scale: Any) -> dist.Distribution:
        return type(fn)(loc=loc, scale=scale, **more).expand(shape).to_event(event_dim)

    return LocScale(fn.loc, fn.scale, law, transforms)


def drawn_at(law: Law, loc: Any, scale: Any, centered: Any) -> dist.Distribution:
    """The distribution of the coordinate of a centeredness."""
    if isinstance(centered, float) and centered == 0.0:
        return law(0.0, 1.0)
    return law(centered * loc, scale**centered)


def value_at(z: Any, loc: Any, scale: Any, centered: Any, to: Any = 1.0) -> Any:
    """From the coordinate of one centeredness to that of another, by default the site."""
    return to * loc + scale ** (to - centered) * (z - centered * loc)


def ask(name: str) -> Asked | None:
    """What a handler asks for the coefficients `name`; None if there is no such handler.

    The message holds their name as each handler on the stack sees it, the outermost first.
    """
    if not _PYRO_STACK:
        return None
    names = [name] * len(_PYRO_STACK)
    for i, handler in reversed(list(enumerate(_PYRO_STACK))):
        names[i] = name
        if isinstance(handler, scope):
            name = join(handler.prefix, name)
        elif isinstance(handler, stock_scope):
            name = f"{handler.prefix}{handler.divider}{name}"
    return message("centering", lambda *_: None, (names,))


def sample_around(
    name: str, own: str, law: Law, loc: Any, scale: Any, centered: float
) -> Site:
    """Draw the coordinate `own` of the coefficients `name`, or another one if a handler asks.

    Args:
        name: The name of the coefficients.
        own: The name of the site that is drawn, `name` itself if `centered` is 1.
        law: The distribution at a location and a scale.
        loc: The location.
        scale: The scale, lined up with the coefficients.
        centered: The centeredness of `own`.
    """
    asked = ask(name)
    if asked is not None and asked.note is not None:
        full = asked.name.removesuffix(name) + own
        asked.note(Around(full, loc, scale, centered))
    if asked is None or asked.centered is None:
        return sample_site(own, drawn_at(law, loc, scale, centered))
    c = asked.centered
    check_shape(asked.name, c, law(loc, scale).shape())
    z = sample_site(name + RECENTERED, drawn_at(law, loc, scale, c))
    computed = value_at(z.value, loc, scale, c, centered)
    value: Any = numpyro.deterministic(own, computed)
    guide = factorized_normal(posterior_of(z)) if value is computed else None
    if guide is not None:
        mean, spread = (
            jnp.broadcast_to(x, z.value.shape) for x in (guide.loc, guide.scale)
        )
        mean = value_at(mean, loc, scale, c, centered)
        guide = dist.Normal(mean, scale ** (centered - c) * spread)
    full = z.name.removesuffix(name + RECENTERED) + own
    return Site(value, full, z.event_dim, {**z.infer, POSTERIOR: guide})


def check_shape(name: str, centered: Any, shape: tuple[int, ...]) -> None:
    """Numbers go with a site of a shape, one for each entry or for several.

    Raises:
        ValueError: If they do not.
    """
    own = jnp.shape(centered)
    are_alike = zip(reversed(own), reversed(shape), strict=False)
    if len(own) > len(shape) or any(a not in (1, b) for a, b in are_alike):
        raise ValueError(
            f"`centering` of the site {name!r} must be a number or an array that broadcasts to "
            f"the site's shape {shape}, got shape {own}."
        )
