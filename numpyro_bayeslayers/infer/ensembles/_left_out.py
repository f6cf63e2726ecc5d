"""Check for arguments of a fit that are missing in a prediction."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from numpyro.handlers import seed, trace

from ..._typing import Message, Model
from ...distributions import _support
from ...handlers._feasible import feasible
from ..rows._arguments import Arguments, merged
from ..rows._determined import inputs_of

_LEFT_OUT = (
    "`{name}` must be given: the fit had it, and without it the predictions would use {what}. "
    "Pass its values for the rows to be predicted."
)


def refuse_left_out(
    model: Model, parameters: tuple[str, ...], fitted: Arguments, given: Arguments
) -> None:
    """Raise if the model would run with other values of an argument than in the fit.

    Observations may be left out, and so may their weights and masks, on which no draw depends,
    and booleans and strings, which control how a model runs.

    Args:
        model: The model as its user wrote it.
        parameters: The names of its positional arguments.
        fitted: The arguments of the fit.
        given: The arguments of a prediction.
    """
    there, here = (_by_name(parts, parameters) for parts in (fitted, given))
    missing = [name for name in there if here.get(name, ()) == ()]
    if not missing:
        return
    defaults = _defaults(model)
    read = _read(model, parameters, fitted)
    for name in missing:
        default = defaults.get(name)
        if name in read:
            raise ValueError(_LEFT_OUT.format(name=name, what=f"`{name}`={default!r}"))
        for value in there[name]:
            if _is_number(value) and _is_number(default) and value != default:
                what = f"{default!r} in place of {value!r}"
                raise ValueError(_LEFT_OUT.format(name=name, what=what))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _defaults(model: Model) -> dict[str, Any]:
    try:
        found = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in found if p.default is not p.empty}


def _names(parts: Arguments, parameters: tuple[str, ...]) -> list[str]:
    """For each leaf, the name of its argument."""
    places = parts.frame.treedef.unflatten(range(len(parts.rows)))
    names = []
    for (which, key, *_), _ in jax.tree_util.tree_leaves_with_path(places):
        if which.idx:
            names.append(key.key)
        else:
            is_named = key.idx < len(parameters)
            names.append(parameters[key.idx] if is_named else f"argument {key.idx}")
    return names


def _by_name(parts: Arguments, parameters: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """The leaves of each argument; None has no leaves."""
    found: dict[str, tuple[Any, ...]] = {}
    leaves = zip(merged(parts), parts.frame.shared, strict=True)
    for name, (array, other) in zip(_names(parts, parameters), leaves, strict=True):
        found[name] = (*found.get(name, ()), other if array is None else array)
    return found


def _read(model: Model, parameters: tuple[str, ...], fitted: Arguments) -> set[str]:
    """The arguments on which draws depend, except observed ones."""
    roles: list[str] = []

    def run(arrays: list[Any], key: Any) -> list[Any]:
        args, kwargs = fitted.frame.fill(arrays)
        sites = trace(seed(feasible(model), key)).get_trace(*args, **kwargs)
        pairs = [pair for site in sites.values() for pair in _values(site)]
        roles.extend(role for role, _ in pairs)
        return [jnp.asarray(value) for _, value in pairs]

    arrays = merged(fitted)
    try:
        program = jax.make_jaxpr(run)(arrays, random.key(0))
    except Exception:  # errors of the model are raised when it runs
        return set()
    names = [
        n for n, x in zip(_names(fitted, parameters), arrays, strict=True) if x is not None
    ]
    found: dict[str, set[str]] = {"observed": set(), "drawn": set()}
    for role, inputs in zip(roles, inputs_of(program), strict=True):
        found[role].update(names[i] for i in inputs if i < len(names))
    return found["drawn"] - found["observed"]


def _values(site: Message) -> list[tuple[str, Any]]:
    """The value drawn at a site, its parameters, and the observed value."""
    if site["type"] == "deterministic":
        return [("drawn", x) for x in jax.tree.leaves(site["value"])]
    if site["type"] != "sample" or not isinstance(site["fn"], dist.Distribution):
        return []
    law = _support.law_of(site["fn"])
    if isinstance(law, dist.Unit):
        return []  # a factor, without a draw
    role = "observed" if site["is_observed"] else "drawn"
    return [(role, site["value"]), *(("drawn", x) for x in jax.tree.leaves(law))]
