"""Checks of the names in a call of `fit`: its own options, or arguments of the model."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from numpyro.primitives import Messenger

from ..._typing import Model

_TAKEN = (
    "`model` must not need an argument `{name}`, which is an option of `fit` and does not reach "
    "the model. Rename it."
)
_OF_PREDICT = (
    "`{name}` cannot hold rows: it is an option of `Fit.predict`, which takes the rows too. "
    "Rename it, in the model and here."
)
_UNKNOWN = "`{name}` is no option of `fit`, and the model does not take it: it takes {taken}.{hint}"


def check_names(model: Model, names: Iterable[str], of: Callable[..., Any]) -> None:
    """Check that all names are arguments of the model, and that none it needs is missing.

    Args:
        model: The model. Only what its signature declares is checked.
        names: The names passed to it.
        of: The function that passes them on, whose options may have been meant.

    Raises:
        ValueError: If a name is unknown, with the closest argument of the model or option; if
            the model needs an argument that has the name of an option.
    """
    taken = _taken(model)
    if taken is None:
        return
    options = _options(of)
    for name, is_needed in taken.items():
        if is_needed and name in options and name != "y":
            raise ValueError(_TAKEN.format(name=name))
    for name in names:
        if name not in taken:
            close = difflib.get_close_matches(name, [*taken, *options], n=1)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            listed = ", ".join(f"`{n}`" for n in taken)
            raise ValueError(_UNKNOWN.format(name=name, taken=listed, hint=hint))


def check_rows(names: Iterable[str], of: Callable[..., Any]) -> None:
    """Check that no argument has the name of an option of `Fit.predict`, the function `of`."""
    options = _options(of)
    for name in names:
        if name in options:
            raise ValueError(_OF_PREDICT.format(name=name))


def _options(fn: Callable[..., Any]) -> list[str]:
    return [p.name for p in _parameters(fn) if p.kind is not p.VAR_KEYWORD]


def _taken(model: Any) -> dict[str, bool] | None:
    """The names of a model's arguments, and whether they are required; None if any is taken."""
    while isinstance(model, Messenger):
        model = model.fn
    try:
        parameters = _parameters(model)
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: p.default is p.empty for p in parameters if p.kind in kinds}


def _parameters(fn: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(fn).parameters.values())
