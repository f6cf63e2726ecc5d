"""Detect supports that depend on data or draws, which a guide cannot represent."""

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
    "The support of the latent sites {names} depends on {what}, so the parameters of a guide "
    "would have a different meaning for each value. Sample on a fixed support, `u = "
    "numpyro.sample('u', dist.Uniform(0, 1))`, and compute `low + (high - low) * u` from it; "
    "or use MCMC (`method='mcmc'`), which evaluates the support in each step."
)
_CONSTRAINT = (
    "The constraint of the parameters {names} depends on {what}. Use a fixed constraint, such "
    "as `constraints.unit_interval`, and compute the value from it."
)
_DATA, _DRAWS = "the data", "other latent sites or parameters"


# Constraints without parameters, such as `constraints.positive`.
_FIXED = {
    id(c) for c in vars(constraints).values() if isinstance(c, constraints.Constraint)
}


def may_move(guide: Model) -> bool:
    """Whether an autoguide that was set up stores a support with numbers from the model."""
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
    """Raise if the support of a site or parameter depends on data or draws.

    Args:
        model: The model.
        guide: Its guide; an autoguide stores the supports of its sites.
        args: Positional arguments of both.
        kwargs: Keyword arguments of both.
        by_data: Whether to refuse bounds that depend on the data, too.
    """
    of_sites, of_params = _of_both(model, guide, args, kwargs)
    for text, found in ((_SUPPORT, of_sites), (_CONSTRAINT, of_params)):
        for what in (_DRAWS, _DATA) if by_data else (_DRAWS,):
            if names := [name for name, w in found.items() if w == what]:
                raise ValueError(text.format(names=", ".join(map(repr, names)), what=what))


def are_moved_by_data(
    model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Whether bounds depend on the data; see `refuse_moving_bounds`."""
    of_sites, of_params = _of_both(model, guide, args, kwargs)
    return _DATA in [*of_sites.values(), *of_params.values()]


def _of_both(
    model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """The latent sites of the guide and the parameters whose bounds are not fixed."""
    of_sites, of_params = _moving(model, args, kwargs)
    if not isinstance(guide, AutoGuide):
        return {}, of_params | _moving(guide, args, kwargs)[1]
    kept = getattr(guide, "prototype_trace", None)  # None before it is set up
    return {n: w for n, w in of_sites.items() if kept is None or n in kept}, of_params


def _moving(
    fn: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """The latent sites and parameters whose bounds are not fixed, with what they depend on."""
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
        return {}, {}  # errors of the model are raised when it runs
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
