"""Arguments that predictions do not depend on: weights and masks of observations."""

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
from ..rows._determined import inputs_of
from ._method import Problem


def unread(problem: Problem, guide: Any, names: Collection[str]) -> set[str]:
    """The arguments of rows that no draw depends on when `y` is drawn.

    Args:
        problem: The fitted problem.
        guide: The guide of the method; None if it has none.
        names: The arguments in question.
    """
    if not names:
        return set()
    guide = guide.func if isinstance(guide, functools.partial) else guide
    is_auto = isinstance(guide, AutoGuide) or inspect.isclass(guide)
    if isinstance(guide, (AutoDAIS, AutoSemiDAIS)) or (
        inspect.isclass(guide) and issubclass(guide, (AutoDAIS, AutoSemiDAIS))
    ):
        return set()  # these guides depend on the density of the data
    is_own = callable(guide) and not is_auto
    fns = [problem.model, guide] if is_own else [problem.model]
    rows = problem.data.rows
    try:
        read = set().union(*(_read(problem.bound(fn), rows) for fn in fns))
    except Exception:
        return set()  # errors of the model are reported where it runs
    return set(names) - read


def _read(fn: Model, rows: dict[str, Any]) -> set[str]:
    """The names of the rows that the value of any site depends on."""

    def values(rows: dict[str, Any]) -> list[Any]:
        sites = trace(seed(feasible(fn), random.key(0))).get_trace(**rows | {"y": None})
        found = [s["value"] for s in sites.values() if s["type"] != "plate"]
        return [jnp.asarray(x) for x in jax.tree.leaves(found)]

    leaves = jax.tree_util.tree_leaves_with_path(rows)
    names = [path[0].key for path, _ in leaves]
    program = jax.make_jaxpr(values)(rows)
    return {names[place] for found in inputs_of(program) for place in found}
