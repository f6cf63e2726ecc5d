"""Predictions for levels absent from the fit: new groups of the same population.

New levels have negative codes. A handler around the model gives layers that look up such rows
codes beyond those of the fit, and the layers draw the coefficients of these groups from the
population. No other part of the model may read such rows.
"""

from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.handlers import seed, trace
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...handlers._feasible import feasible
from ...preprocessing import Schema
from ...primitives import NewGroups
from ..rows._determined import inputs_of
from ..rows._inputs import named_leaves

NewLevels: TypeAlias = Literal["draw", "mean"]

#: The key under which the rows hold the codes of new levels.
NEW = "levels$new"

_ELSEWHERE = (
    "`{label}` has levels that the fit had not, and the model takes it in another way than as "
    "the categories of a RandomEffectsLayer, a RandomSlopesLayer or an EmbeddingLayer: what it "
    "makes of them is not known. Hand each column of categories over as an argument of its "
    "own, straight to the layer; or leave such rows out."
)


def apart(schema: Schema, rows: dict[str, Any], law: NewLevels) -> dict[str, Any]:
    """The rows, with separate codes for the arrays that contain new levels.

    Args:
        schema: The schema of the data.
        rows: The arrays, in which new levels are numbered -2, -3, ...
        law: The treatment of new levels.
    """
    known = {
        leaf.label
        for argument in schema.arguments
        for leaf in argument.leaves
        if any(c.levels or c.num_codes is not None for c in leaf.columns)
    }
    found = {label: np.asarray(x) for label, x in named_leaves(**rows).items()}
    found = {label: x for label, x in found.items() if label in known and (x < 0).any()}
    if not found:
        return rows
    codes = {label: jnp.asarray(x) for label, x in found.items()}
    counts = {label: int(-1 - x.min()) for label, x in found.items()}
    return rows | {NEW: {"codes": codes, "counts": counts, "law": law}}


def with_new(model: Model, rows: dict[str, Any]) -> tuple[Model, dict[str, Any]]:
    """The model whose layers accept new levels, and its arguments."""
    if NEW not in rows:
        return model, rows
    rows = dict(rows)
    given = rows.pop(NEW)
    leaves = named_leaves(**rows)
    groups = [
        (leaves[label], code, given["counts"][label])
        for label, code in given["codes"].items()
    ]
    return _answering(model, groups, given["law"]), rows


class _answering(Messenger):  # noqa: N801
    """Gives layers that look up rows the codes that include new levels."""

    def __init__(self, fn: Model, groups: list[tuple[Any, Any, int]], law: str) -> None:
        self.groups = groups
        self.law = law
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "categories":
            index, size = msg["args"]
            for leaf, code, count in self.groups:
                if leaf is index:
                    after = jnp.where(code < 0, size - 2 - code, code)
                    msg["value"] = NewGroups(after, count, self.law)


def check_reach(bound: Model, rows: dict[str, Any]) -> None:
    """Check that new levels reach only layers that support them.

    Args:
        bound: The model as a function of rows, without its observations.
        rows: The rows.

    Raises:
        ValueError: If the model uses such rows in any other way.
    """
    if NEW not in rows:
        return
    labels = list(rows[NEW]["codes"])
    given = {n: x for n, x in rows.items() if n != NEW and x is not None}

    def values(given: dict[str, Any], codes: dict[str, Any]) -> list[Any]:
        new = rows[NEW] | {"codes": codes}
        model = seed(feasible(bound), random.key(0))
        sites = trace(model).get_trace(**rows | given | {NEW: new})
        found = [s["value"] for s in sites.values() if s["type"] != "plate"]
        return [jnp.asarray(x) for x in jax.tree.leaves(found)]

    program = jax.make_jaxpr(values)(given, rows[NEW]["codes"])
    read = set().union(*inputs_of(program))
    for place, label in enumerate(named_leaves(**dict(sorted(given.items())))):
        if place in read and label in labels:
            raise ValueError(_ELSEWHERE.format(label=label))
