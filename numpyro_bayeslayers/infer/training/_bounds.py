"""Bounds of supports that a guide keeps, and that do not stay where they are."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from numpyro.distributions import constraints
from numpyro.handlers import seed, trace
from numpyro.infer.autoguide import AutoGuide

from ..._typing import Message, Model
from ...handlers._feasible import feasible
from ._arguments import merged, take_apart
from ._determined import inputs_of, unknown_params

_SUPPORT = (
    "The support of the latent sites {names} depends on {what}, and the parameters of a guide "
    "would mean something else with each of its values. Draw from a fixed support, "
    "`u = numpyro.sample('u', dist.Uniform(0, 1))`, and compute `low + (high - low) * u` from "
    "it; or fit by Markov chains (`method='mcmc'`), which look at the support in each step."
)
_CONSTRAINT = (
    "The constraint of the parameters {names} depends on {what}. Optimize in a fixed one, "
    "`constraints.unit_interval` say, and compute the value from it."
)
_DATA, _DRAWS = "the data", "other latent sites or parameters"


# What is always the same: `constraints.positive` and the like.
_FIXED = {
    id(c) for c in vars(constraints).values() if isinstance(c, constraints.Constraint)
}


def may_move(guide: Model) -> bool:
    """Whether an autoguide that was set up keeps a support that has numbers of the model's."""
    sites = (getattr(guide, "prototype_trace", None) or {}).values()
    laws = [s["fn"] for s in sites if s["type"] == "sample" and not s["is_observed"]]
    for support in (law.support for law in laws):
        while type(support) is constraints.independent:
            support = support.base_constraint
        if id(support) not in _FIXED and jax.tree.leaves(support):
            return True
    return False


def refuse_moving_bounds(
    model: Model,
    guide: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    by_data: bool = True,
) -> None:
    """Raise if the data, or what is drawn, decide where a site or a parameter may lie.

    Args:
        model: The model.
        guide: Its guide, which keeps the supports of its sites if it is an autoguide.
        args: Arguments of both.
        kwargs: Keyword arguments likewise.
        by_data: Whether bounds that the data decides are refused, too.
    """
    of_sites, of_params = _of_both(model, guide, args, kwargs)
    for text, found in ((_SUPPORT, of_sites), (_CONSTRAINT, of_params)):
        for what in (_DRAWS, _DATA) if by_data else (_DRAWS,):
            if names := [name for name, w in found.items() if w == what]:
                raise ValueError(text.format(names=", ".join(map(repr, names)), what=what))


def are_moved_by_data(
    model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Whether the data decides bounds; see `refuse_moving_bounds`."""
    of_sites, of_params = _of_both(model, guide, args, kwargs)
    return _DATA in [*of_sites.values(), *of_params.values()]


def _of_both(
    model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """The latent sites that the guide keeps, and the parameters, whose bounds move."""
    of_sites, of_params = _moving(model, args, kwargs)
    if not isinstance(guide, AutoGuide):
        return {}, of_params | _moving(guide, args, kwargs)[1]
    kept = getattr(guide, "prototype_trace", None)  # None before it is set up
    return {n: w for n, w in of_sites.items() if kept is None or n in kept}, of_params


def _moving(
    fn: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """The latent sites, and the parameters, whose bounds depend on something, and on what."""
    parts = take_apart(args, kwargs)
    places: list[tuple[bool, str]] = []

    def run(key: Any, arrays: list[Any]) -> list[Any]:
        args, kwargs = parts.frame.fill(arrays)
        sites = trace(unknown_params(seed(feasible(fn), key), key)).get_trace(
            *args, **kwargs
        )
        pairs = [(site, jnp.asarray(x)) for site in sites.values() for x in _bounds(site)]
        places.extend((site["type"] == "param", site["name"]) for site, _ in pairs)
        return [x for _, x in pairs]

    try:
        program = jax.make_jaxpr(run)(random.key(0), merged(parts))
    except Exception:
        return {}, {}  # what is wrong with the model is said where it runs
    found: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for (is_param, name), inputs in zip(places, inputs_of(program), strict=True):
        if inputs:
            what = _DRAWS if 0 in inputs else _DATA
            found[is_param][name] = _DRAWS if found[is_param].get(name) == _DRAWS else what
    return found


def _bounds(site: Message) -> list[Any]:
    if site["type"] == "param":
        return jax.tree.leaves(site["kwargs"].get("constraint"))
    if site["type"] == "sample" and not site["is_observed"]:
        return jax.tree.leaves(site["fn"].support)
    return []
