"""The coordinates of location-scale sites in which a method of `fit` works."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpyro.distributions import constraints
from numpyro.infer.autoguide import AutoDelta, AutoGuide
from numpyro.primitives import param

from ... import _checks
from ..._typing import Model
from ...handlers import recenter
from ...handlers._recenter import checked_centering
from ..ensembles._centering import Coordinates
from ..training._guides import autoguide_class
from ._method import Posterior, Problem, named_guide

#: What a site's name is followed by in the name of the parameter with its centeredness.
LEARNED = "_centering"
#: The number that is learned starts here.
HALF = 0.5


def checked_coordinates(name: str, given: Any) -> Any:
    """The parameterization of sites: None, ``"auto"``, or numbers by site."""
    if given is None or isinstance(given, str):
        return None if given is None else _checks.one_of(name, given, ["auto"])
    _checks.instance(
        name, given, Mapping, 'None, "auto" or a dictionary of numbers by site'
    )
    return checked_centering(given)


def check_guide_takes(centering: Any, guide: Any) -> None:
    """Refuse coordinates for guides of points and for guide functions.

    The mode depends on the coordinates, and a function names sites of the model as written.
    """
    if centering is None:
        return
    guide = named_guide(guide)
    kind = autoguide_class(guide) or type(guide)
    if issubclass(kind, AutoDelta):
        raise ValueError(
            f"`centering` must be None for a guide of points, got {centering!r}: the mode "
            "depends on the coordinates."
        )
    if not issubclass(kind, AutoGuide):
        raise ValueError(
            f"`centering` must be None for a guide function, got {centering!r}: the function "
            "names sites of the model as written. Take an autoguide, or apply "
            "`handlers.recenter` to the model."
        )


def in_coordinates(centering: Any, problem: Problem, model: Model) -> Model:
    """The bound `model` in the coordinates that a variational method is given."""
    if centering is None:
        return model
    if problem.asked.init is not None and problem.found is None:
        raise ValueError(
            "`init` must be None if VI has a `centering`: it holds values of the model's sites, "
            "which the guide does not have."
        )
    if isinstance(centering, dict):
        return recenter(model, centering)
    found = Coordinates(model, problem.data.rows)
    is_one = problem.batch_size is not None
    return _learning(model, found, is_one=is_one) if found.names else model


def _learning(model: Model, coordinates: Coordinates, *, is_one: bool) -> Model:
    """The model with the centeredness of its sites as parameters.

    Args:
        model: The model of rows.
        coordinates: Its hierarchical sites.
        is_one: Whether the entries of a site share one number, as a minibatch may not have all
            entries.
    """
    starts = {name: np.asarray(c) for name, c in coordinates.at(HALF).items()}
    if is_one:
        starts = dict.fromkeys(starts, np.asarray(HALF))
    unit = constraints.unit_interval

    def between(**rows: Any) -> Any:
        learned = {n: param(n + LEARNED, c, constraint=unit) for n, c in starts.items()}
        return recenter(model, learned)(**rows)

    return between


def centering_of(centering: Any, posterior: Posterior) -> dict[str, Any] | None:
    """The centeredness that a variational method was given, or has learned, members first."""
    if centering != "auto":
        return centering
    params = posterior.params.items()
    return {n.removesuffix(LEARNED): x for n, x in params if n.endswith(LEARNED)}
