"""The identity of a model: its sites and their distributions."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms import Transform
from numpyro.handlers import seed, trace

from ..._typing import Message, Model
from ...distributions import _support
from ...handlers._feasible import feasible
from ..rows._determined import inputs_of, part_of, unknown_params
from ._data import Data

# Larger parameters are described by their mean and standard deviation; the relative tolerance
# for equal numbers on different machines.
_MOST, _ROUNDING = 16, 1e-4
_COMPUTED = "computed"


def described_sites(model: Model, data: Data) -> dict[str, dict[str, Any]]:
    """The sites of the bound `model`, in a form that JSON can represent.

    Parameters of distributions are known if they are constants of the model or depend only on
    the data; those that depend on latent sites are ``"computed"``.
    """
    found: dict[str, dict[str, Any]] = {}
    places: list[tuple[str, str]] = []

    def run(key: Any, rows: dict[str, Any]) -> list[Any]:
        values = []
        sites = trace(unknown_params(seed(feasible(model), key), key)).get_trace(**rows)
        for name, site in sites.items():
            if site["type"] not in ("sample", "deterministic", "param"):
                continue
            kind = "observations" if site.get("is_observed") else f"a {site['type']}"
            kind = {"a sample": "a latent"}.get(kind, kind)
            for path, leaf in jax.tree_util.tree_leaves_with_path(site["value"]):
                where = name + jax.tree_util.keystr(path)
                shape, dtype = list(jnp.shape(leaf)), str(jnp.result_type(leaf))
                found[where] = {"kind": kind, "shape": shape, "type": dtype}
            if site["type"] == "sample":
                numbers = list(_numbers(site))
                found[name]["law"] = {"family": _family(site["fn"]), "numbers": {}}
                places.extend((name, parameter) for parameter, _ in numbers)
                values.extend(jnp.asarray(value) for _, value in numbers)
        return values

    program = jax.make_jaxpr(run)(random.key(0), data.rows)
    is_known = [0 not in inputs for inputs in inputs_of(program)]
    known = [i for i, is_so in enumerate(is_known) if is_so]
    values = iter(part_of(program, 1, known)(*jax.tree.leaves(data.rows)))
    for (name, parameter), is_so in zip(places, is_known, strict=True):
        value = _told(np.asarray(next(values))) if is_so else _COMPUTED
        found[name]["law"]["numbers"][parameter] = value
    return found


def how_they_differ(there: dict[str, Any], here: dict[str, Any]) -> str | None:
    """How two models differ, from the descriptions of their sites; None if they do not."""
    for name in {**there, **here}:
        sites = there.get(name), here.get(name)
        of_values = [
            site and {n: site[n] for n in ("kind", "shape", "type")} for site in sites
        ]
        if of_values[0] != of_values[1]:
            told = [_of_value(site) if site else "none" for site in sites]
            return f"at {name!r} it had {told[0]}, and has {told[1]}"
        laws = [site and site.get("law") for site in sites]
        told = _of_laws(*laws) if all(laws) else None
        if told:
            return f"at {name!r} it had {told[0]}, and has {told[1]}"
    return None


def _of_value(site: dict[str, Any]) -> str:
    return f"{site['kind']} of shape {tuple(site['shape'])} and type {site['type']}"


def _of_laws(one: Any, other: Any) -> tuple[str, str] | None:
    """The names of two distributions, if they differ."""
    if one["family"] != other["family"]:
        return f"the law {one['family']}", f"{other['family']}"
    for name, value in one["numbers"].items():
        twin = other["numbers"].get(name, value)
        if not _are_same(value, twin):
            law = f"the law {one['family']} with `{name}`"
            return f"{law} {_in_words(value)}", f"{_in_words(twin)}"
    return None


def _are_same(one: Any, other: Any) -> bool:
    if _COMPUTED in (one, other):
        return one == other
    pair = [np.asarray(x, float) for x in (one, other)]
    if 1 not in map(len, pair) and len(pair[0]) != len(pair[1]):
        return False
    return np.allclose(*pair, rtol=_ROUNDING, atol=0.0, equal_nan=True)


def _in_words(value: Any) -> str:
    if value == _COMPUTED:
        return "that other sites determine"
    numbers = [f"{float(x):.6g}" for x in value]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


def _told(x: np.ndarray) -> list[str]:
    """A parameter as strings, since JSON has no infinity."""
    flat = x.astype(float).ravel()
    if flat.size and (flat == flat[0]).all():
        flat = flat[:1]
    elif flat.size > _MOST:
        flat = np.array([flat.mean(), flat.std()])
    return [f"{number:.9g}" for number in flat]


def _family(fn: Any) -> str:
    """The name of a distribution, with the names of its base distributions and transforms."""
    if not isinstance(fn, dist.Distribution):
        return type(fn).__name__
    law = _support.law_of(fn)
    parts = [
        _family(inner)
        for _, value in _fields(law)
        for inner in (value if isinstance(value, (list, tuple)) else [value])
        if isinstance(inner, (dist.Distribution, Transform, Constraint))
    ]
    return type(law).__name__ + (f"({', '.join(parts)})" if parts else "")


def _numbers(site: Message) -> Iterator[tuple[str, Any]]:
    """The parameters of a site's distribution, its own first."""
    found = list(_parameters("", site["fn"]))
    for name, value in sorted(found, key=lambda pair: (pair[0].count("."), pair[0])):
        kind = jnp.result_type(value)
        if jnp.issubdtype(kind, jnp.number) or jnp.issubdtype(kind, jnp.bool_):
            yield name, value


def _parameters(prefix: str, fn: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(fn, dist.Distribution):
        return
    for name, value in _fields(_support.law_of(fn)):
        if isinstance(value, dist.Distribution):
            yield from _parameters(f"{prefix}{name}.", value)
        else:
            for path, leaf in jax.tree_util.tree_leaves_with_path(value):
                yield prefix + name + jax.tree_util.keystr(path), leaf


def _fields(law: dist.Distribution) -> list[tuple[str, Any]]:
    names = set(type(law).gather_pytree_data_fields())
    if type(law).arg_constraints:  # these determine its parts
        names = {name for name in names if not name.startswith("_")}
        if isinstance(law, dist.TransformedDistribution):
            names -= {"base_dist", "transforms"}
    return [(n, vars(law)[n]) for n in sorted(names) if vars(law).get(n) is not None]
