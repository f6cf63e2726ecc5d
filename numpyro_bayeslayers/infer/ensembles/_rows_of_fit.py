"""Latent sites that have a value for each row, in predictions: whose are whose.

A row that was fitted has its own value; a new one has a draw from the prior. A row is known by
the arguments of the model that are given for it.
"""

import inspect
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from numpyro.handlers import substitute
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ..training._arguments import Arguments
from ..training._row_terms import row_terms
from ._left_out import refuse_left_out

Places = Int[np.ndarray, " n"]

NEW, SEVERAL = -1, -2

_SEVERAL = (
    "The latent sites {names} have one value for each row of the fit, and rows {rows} of those "
    "given equal several of them, so that it is not known which values are theirs. Give all "
    "rows of the fit, in their order, or a column that tells rows apart; or `new_rows=True`, "
    "which draws new values for all rows."
)
_NOT_FITTED = (
    "`new_rows=False` takes rows of the fit, and rows {rows} of those given are none. Leave it "
    "out: new rows have draws of their own of {names}."
)
_UNKNOWN = (
    "The latent sites {names} have one value for each of {count} rows, and {given} rows are "
    "given. Which rows this result was fitted to is not known, since `run` of another object "
    "made it. Give all of them, in their order, or `new_rows=True`."
)
_PARAMETERS = (
    "The parameters {names} have one value for each row of the fit, and rows {rows} of those "
    "given are new: they have none. Give rows of the fit."
)
_JOINT = (
    "The rows given are not those of the fit, all and in their order, and the sites {names} "
    "have a value for each row that cannot do without the others ({reason}). Give all rows of "
    "the fit; those to be predicted may be among them, without an observation."
)


class Fitted(NamedTuple):
    """The data of a fit.

    Args:
        parts: The arguments of the model.
        parameters: The names of its positional ones.
    """

    parts: Arguments
    parameters: tuple[str, ...] = ()

    def named(self, parts: Arguments) -> dict[tuple[str, str], Any]:
        """Arrays of rows by the argument that they are, and their place in it."""
        places = parts.frame.treedef.unflatten(range(len(parts.rows)))
        found = {}
        for path, i in jax.tree_util.tree_leaves_with_path(places):
            which, key, *rest = path
            if parts.rows[i] is not None:
                in_order = not which.idx and key.idx < len(self.parameters)
                first = self.parameters[key.idx] if in_order else getattr(key, "key", key)
                found[first, jax.tree_util.keystr(tuple(rest))] = parts.rows[i]
        return found


class FittedRows:
    """The data that each result of an object was fitted to, for as long as the result lasts.

    Args:
        model: The model as its user wrote it.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._complete: set[Any] = set()
        try:
            self._parameters = tuple(inspect.signature(model).parameters)
        except (TypeError, ValueError):
            self._parameters = ()
        self._known: dict[int, tuple[Any, Arguments]] = {}

    def note(self, params: Mapping[str, Any], parts: Arguments) -> None:
        """`params` are those of a fit to `parts`."""
        for leaf in jax.tree.leaves(params)[:1]:
            forget = lambda _, number=id(leaf): self._known.pop(number, None)
            self._known[id(leaf)] = weakref.ref(leaf, forget), parts

    def of(self, params: Mapping[str, Any]) -> Fitted | None:
        """What `params` were fitted to, if it was noted."""
        for leaf in jax.tree.leaves(params)[:1]:
            if id(leaf) in self._known:
                return Fitted(self._known[id(leaf)][1], self._parameters)
        return None

    def check_complete(self, params: Mapping[str, Any], given: Arguments) -> None:
        """Raise if a prediction from `params` leaves out what their fit had, and it matters."""
        fitted = self.of(params)
        if fitted is None:
            return
        kind = fitted.parts.frame, given.frame
        if kind not in self._complete:
            refuse_left_out(self._model, self._parameters, fitted.parts, given)
            self._complete.add(kind)


class Told(NamedTuple):
    """What is known of the rows of a prediction.

    Args:
        fitted: The data of the fit, if it is known.
        is_new: Whether all are new rows, or all rows of the fit; None if they may be either.
        by: The arguments by which rows are known; all that are rows if None.
    """

    fitted: Fitted | None = None
    is_new: bool | None = None
    by: frozenset[str] | None = None


class Whose(NamedTuple):
    """Whose values rows have.

    Args:
        kind: ``"same"`` if the rows are those of the fit, ``"own"`` if they are among them,
            ``"new"`` if none is, ``"mixed"`` if some are.
        places: The row of the fit that each row is, `NEW` for none.
    """

    kind: str
    places: Places


def whose(given: Arguments, told: Told, count: int, names: str) -> Whose:
    """Whose latent values the rows given have.

    Args:
        given: The arguments of a prediction.
        told: What is known of them.
        count: The number of rows of the fit.
        names: The latent sites, for messages.

    Raises:
        ValueError: If this cannot be told.
    """
    num_rows = given.num_rows or 1
    every = np.arange(num_rows)
    if told.is_new:
        return Whose("new", np.full(num_rows, NEW))
    if told.fitted is None:
        if count != num_rows:
            raise ValueError(_UNKNOWN.format(names=names, count=count, given=num_rows))
        return Whose("same", every)
    arrays = told.fitted.named(given), told.fitted.named(told.fitted.parts)
    names_of_rows = [
        name
        for name in arrays[0]
        if name in arrays[1] and name[0] in (told.by or {name[0]})
    ]
    places = _places([(arrays[0][n], arrays[1][n]) for n in names_of_rows], num_rows)
    if places is None:
        return Whose("same", every)
    if (places == SEVERAL).any():
        rows = _listed(places == SEVERAL)
        raise ValueError(_SEVERAL.format(names=names, rows=rows))
    if told.is_new is False and (places == NEW).any():
        raise ValueError(_NOT_FITTED.format(names=names, rows=_listed(places == NEW)))
    if (places == NEW).all():
        return Whose("new", places)
    return Whose("mixed" if (places == NEW).any() else "own", places)


def _listed(which: Any) -> str:
    rows = np.flatnonzero(which)
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return ", ".join(map(str, rows[:5])) + more


def _places(pairs: list[tuple[Any, Any]], num_rows: int) -> Places | None:
    """Which row of the fit each row is, None if they are all, and in their order.

    Args:
        pairs: Arrays of the rows given, with those of the rows of the fit.
        num_rows: The number of rows given.
    """
    if pairs and all(one is other for one, other in pairs):
        return None
    pairs = [(np.asarray(one), np.asarray(other)) for one, other in pairs]
    if not pairs or any(one.shape[1:] != other.shape[1:] for one, other in pairs):
        return np.full(num_rows, NEW)
    if all(np.array_equal(one, other) for one, other in pairs):
        return None
    _, ids = np.unique(_bytes_of_rows(pairs), return_inverse=True)
    ids_given, ids_fitted = ids[:num_rows], ids[num_rows:]
    count = np.bincount(ids_fitted, minlength=len(ids))
    where = np.full(len(ids), NEW)
    where[ids_fitted] = np.arange(len(ids_fitted))
    return np.where(count[ids_given] > 1, SEVERAL, where[ids_given])


def _bytes_of_rows(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Each row as one value, equal for equal rows."""
    columns = []
    for one, other in pairs:
        both = np.concatenate([one, other])
        both = both + both.dtype.type(0)  # a negative zero is a zero
        columns.append(np.ascontiguousarray(both).reshape(len(both), -1).view(np.uint8))
    table = np.ascontiguousarray(np.concatenate(columns, axis=1))
    return table.view(np.dtype((np.void, table.shape[1]))).ravel()


def refuse_new_params(names: list[str], places: Places) -> None:
    """Raise if new rows would need parameters of their own."""
    if names and (places == NEW).any():
        what = ", ".join(map(repr, names))
        raise ValueError(_PARAMETERS.format(names=what, rows=_listed(places == NEW)))


def refuse_joint_latents(
    model: Model,
    parts: Arguments,
    local: list[str],
    asked: tuple[str, ...],
    *,
    has_new: bool,
) -> None:
    """Raise if the values of rows cannot be taken, or drawn, by themselves.

    Args:
        model: The model.
        parts: Its arguments, of enough rows to compare some.
        local: The sites that have a value for each row.
        asked: The sites that are predicted.
        has_new: Whether some rows are new: values are then drawn from the prior, and all sites
            matter. Otherwise only those that are asked for do, at given values.
    """
    terms = row_terms(model, parts, parts.num_rows or 1) or {}
    if has_new:
        joint = [t for t in terms.values() if t.is_sample and t.kind == "joint"]
    else:
        joint = [terms[n] for n in asked if n in terms and n not in local]
        joint = [t for t in joint if t.kind == "joint"]
    if joint:
        reason = "; ".join(term.reason for term in joint[:2])
        raise ValueError(_JOINT.format(names=", ".join(map(repr, local)), reason=reason))


def with_rows(
    model: Model,
    values: dict[str, Any],
    local: dict[str, int],
    kind: str | None,
    places: Any,
) -> Model:
    """The model at `values`, of which some have entries for the rows of the fit.

    Args:
        model: The model, with a seed.
        values: By site name.
        local: The sites that have a value for each row, and the axis of the rows.
        kind: Whose rows they are, see `Whose`; None if no site has a value for each row.
        places: The row of the fit that each row is.
    """
    if kind in (None, "same"):
        return substitute(model, data=values)
    others = {name: value for name, value in values.items() if name not in local}
    if kind == "new":
        return substitute(model, data=others)
    own = {n: jnp.take(values[n], jnp.maximum(places, 0), axis=a) for n, a in local.items()}
    if kind == "own":
        return substitute(model, data=others | own)
    return _own_or_new(substitute(model, data=others), own, local, places >= 0)


class _own_or_new(Messenger):  # noqa: N801
    """Gives rows of the fit their own values, and draws those of the others."""

    def __init__(
        self, fn: Model, own: dict[str, Array], axes: dict[str, int], is_own: Any
    ) -> None:
        self.own = own
        self.axes = axes
        self.is_own = is_own
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "sample" and msg["name"] in self.own and msg["value"] is None:
            own = self.own[msg["name"]]
            drawn = msg["fn"](*msg["args"], **msg["kwargs"])
            shape = [1] * own.ndim
            shape[self.axes[msg["name"]]] = len(self.is_own)
            msg["value"] = jnp.where(self.is_own.reshape(shape), own, drawn)
