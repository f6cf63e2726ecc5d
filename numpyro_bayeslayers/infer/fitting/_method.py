"""The common interface of the methods of `fit`: their input and output."""

import copy
import functools
import inspect
import math
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

from jaxtyping import Array
from numpyro.infer import init_to_median
from numpyro.infer.autoguide import (
    AutoDelta,
    AutoGuide,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)

from ... import _checks
from ..._typing import Model, PRNGKey
from ..ensembles._predictive import Predictor
from ..ensembles._rows_of_fit import Told
from ..rows._arguments import take_apart
from ..training._cosine import adam_to_zero
from ..training._finite import Finite
from ..training._guides import autoguide_class
from ..training._member import Drawn
from ._asked import Asked
from ._data import Data, Sites, bind
from ._missing import Missing
from ._tables import AbstractTableModel

# The guides that have a name.
_GUIDES = {
    "delta": AutoDelta,
    "normal": AutoNormal,
    "low_rank": AutoLowRankMultivariateNormal,
    "full_rank": AutoMultivariateNormal,
}


#: The name of a value that no model reads: it determines the number of draws if there is no
#: other value.
NO_VALUE = "nothing$"
#: The name of the parameter that holds the log evidence of each member, if known.
EVIDENCE = "auto_log_evidence"


class Problem(NamedTuple):
    """The input of a method: model, data and options of the call.

    Args:
        model: A NumPyro model.
        data: The arguments of the model.
        sites: The names of its sites.
        batch_size: Rows per step; None for all.
        num_steps: Number of training steps; None for a method without training.
        key: The random key.
        progress_bar: Whether to show progress.
        missing: The treatment of missing observations.
        found: A function that returns the saved result in place of running the method; None to
            run it.
        asked: The other options of the call.
        reader: The table-reading model that `model` belongs to; None for others.
    """

    model: Model
    data: Data
    sites: Sites
    batch_size: int | None
    num_steps: int | None
    key: PRNGKey
    progress_bar: bool
    missing: Missing | None = None
    found: Callable[..., Any] | None = None
    asked: Asked = Asked()
    reader: AbstractTableModel | None = None

    def bound(self, fn: Model) -> Model:
        """`fn`, a model or a guide, as a function of rows only."""
        return bind(fn, self.data)


class Posterior(NamedTuple):
    """The output of a method.

    Args:
        draw: ``draw(key, rows, num_samples, block, sites, told, statistics)`` returns about
            `num_samples` draws of sites by name, (draws, members, *site), from finite members,
            in blocks of rows; `told` describes the rows, and `statistics`, functions by site,
            reduce the draws of some sites.
        params: Parameters by site name, with a leading axis of members; empty for a sampler.
        samples: Draws of a sampler by site name, (chains, draws, *site); None for other
            methods.
        result: The result of the underlying fit.
        finite: The finite members, particles or chains, which draws come from.
        log_weights: ``log_weights(key, num_samples)`` returns the log importance weights of
            draws from the guides of finite members, (members, draws); None for methods without
            them.
        is_cut_short: Whether training was set to end before its last step.
    """

    draw: Callable[..., dict[str, Array]]
    params: dict[str, Array]
    samples: dict[str, Array] | None
    result: Any
    finite: Finite
    log_weights: Callable[[PRNGKey, int], Array] | None = None
    is_cut_short: bool = False


def drawing(
    predictor: Predictor, drawn: Drawn, values: dict[str, Any], count: int
) -> Callable[..., dict[str, Array]]:
    """The `draw` of a `Posterior` with `count` members, each giving equally many draws.

    Args:
        predictor: The object that caches the programs.
        drawn: The model and the guide.
        values: The parameters of the finite members.
        count: Their number.
    """

    def draw(
        key: PRNGKey,
        rows: Any,
        num_samples: int,
        block: Any,
        sites: Any,
        told: Told,
        statistics: Any = None,
    ) -> Any:
        each, parts = math.ceil(num_samples / count), take_apart((), rows)
        return predictor(drawn, values, key, parts, each, block, sites, statistics, told)

    return draw


def guide_of(
    guide: Any, model: Model, problem: Problem, start: Callable[..., Any] = init_to_median
) -> Any:
    """The requested guide for the bound `model`; autoguide classes are initialized at `start`."""
    guide = named_guide(guide)
    if (kind := autoguide_class(guide)) is not None:
        # NumPyro's default start may set a noise scale to e^-2, far from the data.
        option = {"init_loc_fn": start}
        is_asked = isinstance(guide, functools.partial) and guide.keywords.keys() & option
        takes_it = option.keys() <= inspect.signature(kind).parameters.keys()
        return guide(model, **(option if takes_it and not is_asked else {}))
    if isinstance(guide, AutoGuide):
        guide = copy.copy(guide)
        guide.model = model
        return guide
    return problem.bound(guide)


def no_guide(**rows: Any) -> None:
    """An empty guide, for given values."""


def settle(method: Any, **checks: _checks.Check) -> None:
    """Check the options of a method, and store the checked values."""
    for name, check in checks.items():
        object.__setattr__(method, name, check(name, getattr(method, name)))


def named_guide(guide: Any) -> Any:
    """A guide, for the name of one too."""
    return _GUIDES[guide] if isinstance(guide, str) else guide


def checked_guide(name: str, guide: Any) -> Any:
    """Check a guide, or the name of one."""
    if isinstance(guide, str):
        return _checks.one_of(name, guide, _GUIDES)
    return _checks.function(name, guide)


def checked_optim(name: str, optim: Any) -> Any:
    """Check an optimizer, or a step size."""
    if all(callable(getattr(optim, method, None)) for method in ("init", "update")):
        return optim
    return _checks.positive(name, optim)


def optimizer(optim: Any) -> Any:
    """The optimizer; a number is the initial step size of Adam."""
    return adam_to_zero(float(optim)) if isinstance(optim, Real) else optim
