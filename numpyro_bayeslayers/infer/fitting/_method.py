"""What all methods of `fit` share: what they are given, and what they give."""

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
from ..training._arguments import take_apart
from ..training._cosine import adam_to_zero
from ..training._finite import Finite
from ..training._member import Drawn
from ._asked import Asked
from ._data import Data, Sites, bind
from ._missing import Missing
from ._tables import AbstractTableModel

# The usual approximations by name.
_GUIDES = {
    "delta": AutoDelta,
    "normal": AutoNormal,
    "low_rank": AutoLowRankMultivariateNormal,
    "full_rank": AutoMultivariateNormal,
}


#: The name of a value that no model reads: where there is no other, it says how many draws
#: there are.
NO_VALUE = "nothing$"
#: The name of the parameter that holds the log evidence of each member, where it is known.
EVIDENCE = "auto_log_evidence"


class Problem(NamedTuple):
    """What is to be fitted, and for how long.

    Args:
        model: A NumPyro model.
        data: Its arguments.
        sites: The names of its sites.
        batch_size: Rows in a step, None for all.
        num_steps: Steps of training; None for a method that takes none.
        key: The random key.
        progress_bar: Whether to show progress.
        missing: What becomes of missing observations.
        found: Gives what the method found before, in place of running it; None to run it.
        asked: What it is asked for beside.
        reader: The model that reads tables, of which `model` is the program; None for others.
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
        """`fn`, a model or a guide, as a function of rows alone."""
        return bind(fn, self.data)


class Posterior(NamedTuple):
    """What a method found.

    Args:
        draw: ``draw(key, rows, num_samples, block, sites, told, statistics)`` gives about so
            many draws of sites by name, (draws, members, *site), of finite members, in blocks
            of rows; `told` is what is known of the rows, and `statistics`, functions by site,
            reduce the draws of some.
        params: Parameters by site name that lead with the members; none for a sampler.
        samples: Draws by site name, (chains, draws, *site), of a sampler; else None.
        result: What the fit below it gave.
        finite: The members, particles or chains that can be drawn from.
        log_weights: ``log_weights(key, num_samples)`` gives those of draws of the guides of
            finite members, (members, draws), which correct them; None for other methods.
        is_cut_short: Whether training was not to go to the end of its steps.
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
    """The `draw` of a `Posterior` of `count` members, of which each gives as many draws.

    Args:
        predictor: Keeps the programs.
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
    """The guide that was asked for, of the bound `model`; a class of autoguides at `start`."""
    guide = _GUIDES[guide] if isinstance(guide, str) else guide
    base = guide.func if isinstance(guide, functools.partial) else guide
    if inspect.isclass(base) and issubclass(base, AutoGuide):
        # NumPyro's usual start may put a noise at e^-2 of its unit, far from where data is.
        option = {"init_loc_fn": start}
        is_asked = isinstance(guide, functools.partial) and guide.keywords.keys() & option
        takes_it = option.keys() <= inspect.signature(base).parameters.keys()
        return guide(model, **(option if takes_it and not is_asked else {}))
    if isinstance(guide, AutoGuide):
        guide = copy.copy(guide)
        guide.model = model
        return guide
    return problem.bound(guide)


def no_guide(**rows: Any) -> None:
    """A guide that draws nothing: the values are given."""


def settle(method: Any, **checks: _checks.Check) -> None:
    """Check the options of a method, and keep what the checks make of them."""
    for name, check in checks.items():
        object.__setattr__(method, name, check(name, getattr(method, name)))


def checked_guide(name: str, guide: Any) -> Any:
    """A guide, or the name of one."""
    if isinstance(guide, str):
        return _checks.one_of(name, guide, _GUIDES)
    return _checks.function(name, guide)


def checked_optim(name: str, optim: Any) -> Any:
    """An optimizer, or a step size."""
    if all(callable(getattr(optim, method, None)) for method in ("init", "update")):
        return optim
    return _checks.positive(name, optim)


def optimizer(optim: Any) -> Any:
    """An optimizer as it is; a number is the first step size of Adam."""
    return adam_to_zero(float(optim)) if isinstance(optim, Real) else optim
