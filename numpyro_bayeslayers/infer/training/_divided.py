"""Split the data into rows to fit and held-out rows."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro.primitives import Messenger

from ... import _checks
from ..._typing import Model, PRNGKey
from ..rows._arguments import Arguments, check_finite, put_together, take_apart
from ..rows._look import Look
from ..rows._plates import OwnPlateError, in_batches
from ..rows._row_terms import row_terms
from ..rows._rows import refuse_joint
from ._validation import share_of_rows

_KIND = (
    "`validation` must be a fraction of the rows, above 0 and below 1, a dictionary of the "
    "model's arguments by name, or the tuple of its arguments, got {given}."
)
_MISSING = "`validation` must have {name!r} too, which has one entry per row."
_COUNT = (
    "`validation` must have the {count} positional arguments of the run, as a tuple or a "
    "dictionary by name, got {given}."
)
_NO_NAMES = (
    "`validation` by name needs the names of the model's arguments, which are unknown. Pass "
    "the tuple of its positional arguments."
)
_OWN_PLATE = (
    "`validation` cannot be a fraction if the model chooses rows itself, in a plate with a "
    "`subsample_size`. Pass other data, `validation={...}`."
)
_OTHER_DATA = "Pass other data, `validation={...}`, instead of a fraction."


class HeldOut(NamedTuple):
    """Held-out rows.

    Args:
        parts: The arguments of the model with these rows.
        sites: The observed sites that are scored; all if None.
        is_share: Whether they are a fraction of the given data.
    """

    parts: Arguments
    sites: tuple[str, ...] | None = None
    is_share: bool = False


def divided(
    validation: Any,
    parts: Arguments,
    key: PRNGKey,
    model: Model | None,
    names: Sequence[str] | None = None,
) -> tuple[Arguments, HeldOut | None]:
    """The arguments of the fit, and the held-out ones.

    Args:
        validation: A fraction of the rows; arguments with other rows, by name or in order; an
            existing `HeldOut`; or None.
        parts: The given arguments.
        key: The random key with which a fraction is drawn.
        model: The model; None if `names` is given.
        names: The names of its positional arguments; if None, those of the model.

    Raises:
        TypeError: If `validation` is anything else.
        ValueError: If a fraction leaves no rows, or arguments are missing.
    """
    if validation is None or isinstance(validation, HeldOut):
        return parts, validation
    if isinstance(validation, (Mapping, tuple, list)):
        return parts, HeldOut(
            _given(validation, parts, _names(model) if names is None else list(names))
        )
    if isinstance(validation, (str, bytes, bool)) or not np.isscalar(validation):
        given = f"{validation!r} ({type(validation).__name__})"
        raise TypeError(_KIND.format(given=given))
    num_rows = parts.num_rows
    if num_rows is None:
        raise ValueError("`validation` needs arrays of rows among the arguments, got none.")
    is_held = share_of_rows(validation, num_rows, key)
    return taken(parts, ~is_held), HeldOut(taken(parts, is_held), is_share=True)


def check_apart(model: Model, parts: Arguments) -> None:
    """Check that a fraction can be held out, that is, rows do not depend on each other.

    Raises:
        ValueError: If they do.
    """
    try:
        terms = row_terms(in_batches(model, parts.num_rows), parts, parts.num_rows or 1)
    except OwnPlateError as error:
        raise ValueError(_OWN_PLATE) from error
    if terms is not None:
        sites = {name: term for name, term in terms.items() if term.is_sample}
        refuse_joint("A fraction of the rows cannot be held out", sites, mend=_OTHER_DATA)


def taken(parts: Arguments, which: Any) -> Arguments:
    """The arguments with only these rows."""
    at = np.flatnonzero(which)
    rows = [None if x is None else jax.device_put(np.asarray(x)[at]) for x in parts.rows]
    return parts._replace(rows=rows)


def look_at_all(look: Look, parts: Arguments, held: HeldOut | None) -> None:
    """Check the data of the fit and the held-out rows.

    Raises:
        ValueError: If a check fails.
    """
    look.at_observations(parts)
    look.at_layers(parts)
    try:
        if held is not None:
            look.at_observations(held.parts)
            look.at_layers(held.parts)
    except ValueError as error:
        raise ValueError(f"In `validation`: {error}") from error


def _given(validation: Any, parts: Arguments, names: list[str]) -> Arguments:
    """The given arguments, with arguments that are not rows taken from the fit."""
    args, kwargs = put_together(parts.rows, parts.shared, parts.frame)
    marks = parts.frame.treedef.unflatten([x is not None for x in parts.rows])
    has_rows = lambda mark: any(jax.tree.leaves(mark))
    if not isinstance(validation, Mapping):
        own = tuple(validation)
        if len(own) != len(args):
            raise ValueError(_COUNT.format(count=len(args), given=len(own)))
        missing = [name for name, mark in marks[1].items() if has_rows(mark)]
        given: tuple[Any, Any] = (own, kwargs)
    else:
        if len(args) > len(names):
            raise ValueError(_NO_NAMES)
        in_order = list(zip(names, args, marks[0], strict=False))
        in_order += [(name, x, marks[1][name]) for name, x in kwargs.items()]
        known = {name: x for name, x, _ in in_order}
        for name in validation:
            _checks.one_of("validation", name, dict.fromkeys([*known, *names]))
        missing = [n for n, _, mark in in_order if has_rows(mark) and n not in validation]
        given = ((), {**known, **validation})
    if missing:
        raise ValueError(_MISSING.format(name=missing[0]))
    check_finite(*given)
    return take_apart(*given)


def _names(model: Any) -> list[str]:
    """The names of a model's positional arguments, under its handlers."""
    while isinstance(model, Messenger):
        model = model.fn
    try:
        found = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
