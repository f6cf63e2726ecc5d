"""The common code of `predict`, `expected` and `log_density`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from ... import _checks
from ..compilation._effort import once
from ..ensembles._predictive import Statistic
from ..ensembles._rows_of_fit import Fitted, Told
from ..rows._arguments import take_apart
from ..rows._inputs import Seed, as_key
from ..rows._plates import on_all_rows
from ..rows._rows import row_axes
from ._categories import computed_categories
from ._data import Sites, data_to_predict, label_names
from ._laws import ask, name_of
from ._method import Posterior, Problem
from ._new_levels import NewLevels, check_reach
from ._predictions import Labels, Predictions, Reach
from ._tables import made_of_table
from ._unread import unread

_NONE_OBSERVED = (
    "No site of the model is observed with `y` and drawn without: nothing can be predicted. "
    "Hand `y` to a site as `obs=y`."
)
_NO_ROWS = (
    "`site` must be one that grows with the rows, and {site!r} does not: it has one value for "
    "all of them. `draws` and `summary` have it."
)


_ONE_DENSITY = (
    "`site` must have a density for each row, and {site!r} has one for all of them: its rows are "
    "an event of its distribution. Put them in a plate, if they are independent."
)
_OTHER_AXIS = (
    "`site` must have the rows as the first axis of its distribution, and those of {site!r} are "
    "axis {axis} (counted from 0). Observe the members of an implicit ensemble by "
    "`layers.observe_members`, or put the other axes into the event by `to_event`."
)


class How(NamedTuple):
    """The options of a prediction; see `Fit.predict`."""

    num_samples: int
    seed: Seed
    batch_size: int | None
    new_rows: bool | None
    new_levels: NewLevels | None


class Asked(NamedTuple):
    """The requested sites, and what their computation needs.

    Args:
        sites: Their names.
        rows: Additional arguments of the model.
        statistics: Functions that reduce draws, by site.
    """

    sites: tuple[str, ...]
    rows: dict[str, Any] = {}
    statistics: dict[str, Statistic] = {}

    @classmethod
    def beside(cls, name: str, what: str | None) -> "Asked":
        """The site, and `what` of its distribution, averaged over all draws."""
        if what is None:
            return cls((name,))
        answer = name_of(name, what)
        return cls((name, answer), ask(name, what), {answer: mean_over_draws})

    @classmethod
    def instead(cls, name: str, what: str) -> "Asked":
        """`what` of the site's distribution in each draw, in place of the site."""
        return cls((name_of(name, what),), ask(name, what))


def predictions_of(
    problem: Problem, method: Any, posterior: Posterior, name: str, how: How, data: Any
) -> Predictions:
    """Draws of a site of rows, with probabilities if they are labels; see `predicted`."""
    asked = Asked.beside(name, "probabilities" if name in problem.sites.labels else None)
    found = predicted(problem, method, posterior, asked, how, data)
    return predictions_from(problem, name, found)


def predictions_from(
    problem: Problem, name: str, found: Mapping[str, Array], reach: Reach | None = None
) -> Predictions:
    """Predictions from the draws of a site and the probabilities of its labels."""
    each = found.get(name_of(name, "probabilities"))
    if each is None:
        return Predictions.of(found[name], reach=reach)
    names = label_names(problem.data.schema, each.shape[-1])
    return Predictions.of(found[name], Labels(each, names), reach)


def predicted(
    problem: Problem,
    method: Any,
    posterior: Posterior,
    asked: Asked,
    how: How,
    data: dict[str, Any],
    y: Any = None,
) -> dict[str, Array]:
    """Draws (draws, members, *site) by name.

    Args:
        problem: The fitted problem.
        method: The method of the fit.
        posterior: The result of the fit.
        asked: The requested sites.
        how: The options of the prediction.
        data: The arguments of the model.
        y: The observations; None to draw them.
    """
    num_samples = _checks.size("num_samples", how.num_samples)
    batch_size = _checks.optional(_checks.size)("batch_size", how.batch_size)
    known, data = problem.data, made_of_table(problem.reader, data)
    missing = {n for n in known.schema.rows if n not in data and n != "y"}
    # At least one array is needed to determine the number of rows.
    missing = missing if data.keys() & known.rows.keys() and y is None else set()
    free = unread(problem, getattr(method, "guide", None), missing)
    rows = {"y": None} | data_to_predict(known, data, free, how.new_levels, y)
    check_reach(on_all_rows(problem.bound(problem.model), known.num_rows), rows)
    rows |= asked.rows
    is_new = _checks.optional(_checks.switch)("new_rows", how.new_rows)
    told = Told(Fitted(take_apart((), known.rows)), is_new, frozenset(data))
    with computed_categories(rows):
        of = num_samples, batch_size, asked.sites, told, asked.statistics
        return jax.block_until_ready(posterior.draw(as_key(how.seed), rows, *of))


@once
def mean_over_draws(each: Array) -> Array:
    """The mean over draws and members, the leading axes."""
    return each.mean((0, 1))


def rows_of_sites(problem: Problem) -> dict[str, int]:
    """The sites with an axis of rows when `y` is drawn, and that axis."""
    num_rows = problem.data.num_rows
    model = on_all_rows(problem.bound(problem.model), num_rows)
    parts = take_apart((), problem.data.rows | {"y": None})
    found = row_axes(model, parts, num_rows, num_rows + 1)
    is_drawn = lambda site: site["type"] == "sample" and not site["is_observed"]
    return {
        name: axis
        for name, (site, axis) in found.items()
        if is_drawn(site) or site["type"] == "deterministic"
    }


def check_rows_lead(problem: Problem, name: str, shape: tuple[int, ...]) -> None:
    """Raise unless densities of a site, of this shape, have the rows as their first axis."""
    if not shape:
        raise ValueError(_ONE_DENSITY.format(site=name))
    if len(shape) > 1 and (axis := rows_of_sites(problem).get(name, 0)):
        raise ValueError(_OTHER_AXIS.format(site=name, axis=axis))


def observed_site(sites: Sites, site: str | None) -> str:
    """The selected site among the observed ones."""
    names = sites.observed
    if site is not None:
        return _checks.one_of("site", site, names)
    if len(names) == 1:
        return names[0]
    raise ValueError(
        f"`site` must be given: `y` is observed at {list(names)}, not at one site."
        if names
        else _NONE_OBSERVED
    )


def site_of_rows(problem: Problem, site: str | None) -> str:
    """The selected site among all with an axis of rows; an observed one if None.

    Raises:
        ValueError: If there is no such site, or it has no axis of rows.
    """
    sites = problem.sites
    if site is None or site in sites.observed:
        return observed_site(sites, site)
    others = rows_of_sites(problem)
    if site not in others and site in (*sites.latent, *sites.computed):
        raise ValueError(_NO_ROWS.format(site=site))
    return _checks.one_of("site", site, list(dict.fromkeys([*sites.observed, *others])))
