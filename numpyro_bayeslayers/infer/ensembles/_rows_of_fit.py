"""Predictions with latent sites that have one value per row: matching rows with the fit.

A row of the fit keeps its own value; a new row gets a draw from the prior. Rows are identified
by the values of the model's arguments.
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
from ..rows._arguments import Arguments
from ..rows._row_terms import row_terms
from ._left_out import refuse_left_out

Places = Int[np.ndarray, " n"]

NEW, SEVERAL = -1, -2

_SEVERAL = (
    "The latent sites {names} have one value for each row of the fit, and the given rows "
    "{rows} match several of them, so their values are ambiguous. Pass all rows of the fit in "
    "order, or a column that identifies rows; or use `new_rows=True` to draw new values for "
    "all rows."
)
_NOT_FITTED = (
    "`new_rows=False` requires rows of the fit, but the given rows {rows} are new. Leave it "
    "out to draw new values of {names} for new rows."
)
_UNKNOWN = (
    "The latent sites {names} have one value for each of {count} rows, and {given} rows are "
    "given. The rows of the fit are not known, since the result is from `run` of another "
    "object. Pass all of them in order, or use `new_rows=True`."
)
_PARAMETERS = (
    "The parameters {names} have one value for each row of the fit, but the given rows {rows} "
    "are new and have none. Pass rows of the fit."
)
_JOINT = (
    "The given rows are not exactly those of the fit in order, but the sites {names} have "
    "values per row that depend on the other rows ({reason}). Pass all rows of the fit; rows "
    "to be predicted can be included in the fit without an observation."
)


class Fitted(NamedTuple):
    """The data of a fit.

    Args:
        parts: The arguments of the model.
        parameters: The names of its positional arguments.
    """

    parts: Arguments
    parameters: tuple[str, ...] = ()

    def named(self, parts: Arguments) -> dict[tuple[str, str], Any]:
        """Row arrays by argument and by their path in it."""
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
    """The data to which each result of an object was fitted, stored as long as the result exists.

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
        """Record that `params` were fitted to `parts`."""
        for leaf in jax.tree.leaves(params)[:1]:
            forget = lambda _, number=id(leaf): self._known.pop(number, None)
            self._known[id(leaf)] = weakref.ref(leaf, forget), parts

    def of(self, params: Mapping[str, Any]) -> Fitted | None:
        """The data to which `params` were fitted, if recorded."""
        for leaf in jax.tree.leaves(params)[:1]:
            if id(leaf) in self._known:
                return Fitted(self._known[id(leaf)][1], self._parameters)
        return None

    def check_complete(self, params: Mapping[str, Any], given: Arguments) -> None:
        """Raise if a prediction lacks an argument of the fit on which draws depend."""
        fitted = self.of(params)
        if fitted is None:
            return
        kind = fitted.parts.frame, given.frame
        if kind not in self._complete:
            refuse_left_out(self._model, self._parameters, fitted.parts, given)
            self._complete.add(kind)


class Told(NamedTuple):
    """The available information on the rows of a prediction.

    Args:
        fitted: The data of the fit, if known.
        is_new: Whether all rows are new (True) or all are rows of the fit (False); None for
            either.
        by: The arguments that identify rows; all row arguments if None.
    """

    fitted: Fitted | None = None
    is_new: bool | None = None
    by: frozenset[str] | None = None


class Whose(NamedTuple):
    """Which latent values the rows have.

    Args:
        kind: ``"same"`` if the rows are exactly those of the fit, ``"own"`` if all are among
            them, ``"new"`` if none is, ``"mixed"`` if some are.
        places: The index of each row among the rows of the fit, `NEW` for a new row.
    """

    kind: str
    places: Places


def whose(given: Arguments, told: Told, count: int, names: str) -> Whose:
    """Match the given rows with those of the fit.

    Args:
        given: The arguments of a prediction.
        told: The available information on the rows.
        count: The number of rows of the fit.
        names: The latent sites, for error messages.

    Raises:
        ValueError: If rows cannot be matched.
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
    """The index of each row among the rows of the fit; None if they are equal in order.

    Args:
        pairs: Arrays of the given rows, each with the corresponding array of the fit.
        num_rows: The number of given rows.
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
    """Each row as bytes, which are equal for equal rows."""
    columns = []
    for one, other in pairs:
        both = np.concatenate([one, other])
        both = both + both.dtype.type(0)  # negative zero becomes zero
        columns.append(np.ascontiguousarray(both).reshape(len(both), -1).view(np.uint8))
    table = np.ascontiguousarray(np.concatenate(columns, axis=1))
    return table.view(np.dtype((np.void, table.shape[1]))).ravel()


def refuse_new_params(names: list[str], places: Places) -> None:
    """Raise if new rows would need their own parameters."""
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
    """Raise if the values of rows depend on other rows.

    Args:
        model: The model.
        parts: Its arguments, with enough rows for a comparison.
        local: The sites with a value for each row.
        asked: The predicted sites.
        has_new: Whether some rows are new: their values are drawn from the prior, so all sites
            matter. Otherwise only the predicted sites matter.
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
    """The model conditioned on `values`, some of which have entries for the rows of the fit.

    Args:
        model: The model, with a seed.
        values: By site name.
        local: The sites with a value for each row, and their row axis.
        kind: Which values the rows have, see `Whose`; None if no site has a value for each row.
        places: The index of each row among the rows of the fit.
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
    """Assigns fitted values to rows of the fit and draws values for new rows."""

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
