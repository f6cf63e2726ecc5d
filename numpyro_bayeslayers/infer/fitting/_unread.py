"""Arguments of a model that predictions do not read: weights and masks of observations."""

import functools
import inspect
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from numpyro.handlers import seed, trace
from numpyro.infer.autoguide import AutoDAIS, AutoGuide, AutoSemiDAIS

from ..._typing import Model
from ...handlers._feasible import feasible
from ..training._determined import inputs_of
from ._method import Problem


def unread(problem: Problem, guide: Any, names: Collection[str]) -> set[str]:
    """Those of some rows that no draw of the model depends on when `y` is drawn.

    Args:
        problem: What was fitted.
        guide: The guide that the method was given, None if it has none.
        names: The arguments in question.
    """
    if not names:
        return set()
    guide = guide.func if isinstance(guide, functools.partial) else guide
    is_auto = isinstance(guide, AutoGuide) or inspect.isclass(guide)
    if isinstance(guide, (AutoDAIS, AutoSemiDAIS)) or (
        inspect.isclass(guide) and issubclass(guide, (AutoDAIS, AutoSemiDAIS))
    ):
        return set()  # they follow the density of the data
    is_own = callable(guide) and not is_auto
    fns = [problem.model, guide] if is_own else [problem.model]
    rows = problem.data.rows
    try:
        read = set().union(*(_read(problem.bound(fn), rows) for fn in fns))
    except Exception:
        return set()  # what is wrong with the model is said where it runs
    return set(names) - read


def _read(fn: Model, rows: dict[str, Any]) -> set[str]:
    """The names of the rows that a value of some site depends on."""

    def values(rows: dict[str, Any]) -> list[Any]:
        sites = trace(seed(feasible(fn), random.key(0))).get_trace(**rows | {"y": None})
        found = [s["value"] for s in sites.values() if s["type"] != "plate"]
        return [jnp.asarray(x) for x in jax.tree.leaves(found)]

    leaves = jax.tree_util.tree_leaves_with_path(rows)
    names = [path[0].key for path, _ in leaves]
    program = jax.make_jaxpr(values)(rows)
    return {names[place] for found in inputs_of(program) for place in found}
