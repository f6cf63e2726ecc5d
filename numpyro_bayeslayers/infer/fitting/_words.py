"""A warning if the codes of categories are used as numbers."""

import warnings
from typing import Any

import jax
from jax import random
from jax.extend.core import ClosedJaxpr, Jaxpr, Var
from numpyro.handlers import seed

from ..._typing import Model
from ...handlers._feasible import feasible
from ...preprocessing import Schema

_COUNTED = (
    "`{label}` holds strings, and the model uses their codes as numbers: {words}. This treats "
    "the categories as equally spaced in that order. Use the codes as an index, as "
    "`RandomEffectsLayer` and `EmbeddingLayer` do, or pass meaningful numbers."
)
# Two categories are a binary indicator in either order.
_FEWEST = 3
_LAYOUT = {"reshape", "squeeze", "broadcast_in_dim", "copy", "copy_p", "slice", "transpose"}
_SHOWN = 4


def warn_counted_words(
    model: Model, rows: dict[str, Any], schema: Schema, *, stacklevel: int
) -> None:
    """Warn if codes of categories are converted to floating point instead of used as an index.

    Args:
        model: The model, a function of rows.
        rows: The rows of the fit.
        schema: Their schema.
        stacklevel: The stack level of the warning.
    """
    levels = _levels(schema)
    if not levels:
        return

    def run(rows: dict[str, Any]) -> None:
        seed(feasible(model), random.key(0))(**rows)

    leaves = jax.tree_util.tree_leaves_with_path(rows)
    labels = [path[0].key + jax.tree_util.keystr(tuple(path[1:])) for path, _ in leaves]
    try:
        program = jax.make_jaxpr(run)(rows)
    except Exception:
        return  # errors of the model are reported where it runs
    pairs = zip(program.jaxpr.invars, labels, strict=True)
    counted = _counted(program.jaxpr, {v: n for v, n in pairs if n in levels})
    for label in sorted(counted):
        words = [f"{word!r} is {i}" for i, word in enumerate(levels[label][:_SHOWN])]
        text = ", ".join(words) + (", ..." if len(levels[label]) > _SHOWN else "")
        warnings.warn(_COUNTED.format(label=label, words=text), stacklevel=stacklevel + 1)


def _levels(schema: Schema) -> dict[str, tuple[Any, ...]]:
    """The categories of each array of codes."""
    found = {}
    for argument in schema.arguments:
        for leaf in argument.leaves if argument.name != "y" else ():
            levels = leaf.columns[0].levels or ()
            if len(levels) >= _FEWEST and any(isinstance(word, str) for word in levels):
                found[leaf.label] = levels
    return found


def _counted(jaxpr: Jaxpr, codes: dict[Any, str]) -> set[str]:
    """The inputs that are converted to floating point instead of used as an index."""
    found: set[str] = set()
    for step in jaxpr.eqns:
        own = [codes.get(v) if isinstance(v, Var) else None for v in step.invars]
        if not any(own):
            continue
        kind = step.primitive.name
        inner = step.params.get("jaxpr")
        if isinstance(inner, ClosedJaxpr) and len(inner.jaxpr.invars) == len(own):
            pairs = zip(inner.jaxpr.invars, own, strict=True)
            found |= _counted(inner.jaxpr, {v: name for v, name in pairs if name})
        elif kind == "convert_element_type" and own[0]:
            if jax.numpy.issubdtype(step.params["new_dtype"], jax.numpy.inexact):
                found.add(own[0])
            else:
                codes[step.outvars[0]] = own[0]
        elif kind in _LAYOUT and own[0]:
            codes[step.outvars[0]] = own[0]
    return found
