"""The prior predictive distribution of a model."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from numpyro.handlers import seed as with_seed, trace

from ... import _checks
from ..._threads import ALONE
from ..._typing import Model
from ...handlers._feasible import feasible, is_improper
from ..ensembles._predictive import Predictor
from ..rows._arguments import take_apart
from ..rows._inputs import Seed, as_key
from ..rows._look import Look
from ..rows._plates import on_all_rows
from ..rows._rows import row_axes
from ..training._member import Drawn
from ._categories import computed_categories
from ._data import (
    Data,
    Sites,
    bind,
    check_takes_y,
    data_of_prior,
    kinds_of,
    sites_of,
    without_gaps,
)
from ._method import NO_VALUE, Problem, no_guide
from ._predicting import Asked, predictions_from, site_of_rows
from ._predictions import Predictions
from ._programs import PROGRAMS, program_key
from ._reach import reach_of
from ._tables import opened

_IMPROPER = (
    "`model` must have a prior to draw from, and {names} has none: it is improper. Give it a "
    "law for this call."
)


def prior(
    model: Model,
    *,
    y: Any = None,
    num_samples: int = 1000,
    seed: Seed = 0,
    site: str | None = None,
    batch_size: int | None = None,
    constants: Mapping[str, Any] | None = None,
    **data: Any,
) -> Predictions:
    """Draw from the prior predictive distribution of a model.

    If `y` is given, `Predictions.reach` tells whether the prior covers the data; `fit` warns if
    it does not. Optimized parameters (`numpyro.param`) have their initial values.

    Args:
        model: Any NumPyro model with an argument `y` that may be None, as in `fit`.
        y: The observations to compare with the draws; None if there are none. Missing
            observations are not compared.
        num_samples: The number of draws, at least 1.
        seed: A random key or an integer.
        site: A site with an axis of rows; the one that would observe `y` if None.
        batch_size: Number of rows at a time, as in `Fit.predict`.
        constants: Further arguments of the model that are not rows.
        data: The model's further arguments, as in `fit`. Without `y`, all arrays among them are
            rows.

    Raises:
        TypeError: As `fit`.
        ValueError: As `fit` for the data; if there is no such site, or the choice is ambiguous;
            if the distribution of a site is improper.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_bayeslayers.layers import AdaptiveLayer, gaussian_link
        >>> def model(x, y=None):
        ...     return gaussian_link(AdaptiveLayer()("slope", x), y)
        >>> x = jnp.linspace(-1, 1, 20)
        >>> low, high = prior(model, x=x).quantiles((0.05, 0.95))
        >>> bool(low[0] < -1) and bool(high[0] > 1)
        True
        >>> prior(model, x=x, y=5000 + x).reach.beyond
        1.0

    References:
        Gabry, Simpson, Vehtari, Betancourt, Gelman (2019), "Visualization in Bayesian
        workflow", JRSS A 182, section 3.
    """
    with ALONE:
        model, y, data = opened(model, y, data)
        check_takes_y(model)
        num_samples = _checks.size("num_samples", num_samples)
        batch_size = _checks.optional(_checks.size)("batch_size", batch_size)
        problem = _problem(model, data_of_prior(y, data, constants), seed)
        known, whole = problem.data, problem.bound(problem.model)
        if y is not None:
            Look(whole).at_observations(take_apart((), known.rows))
        name = site_of_rows(problem, site)
        asked = Asked.beside(
            name, "probabilities" if name in problem.sites.labels else None
        )
        parts = take_apart((), known.rows | {"y": None} | asked.rows)

        def make() -> tuple[Drawn, Predictor]:
            return Drawn(on_all_rows(whole, known.num_rows), no_guide), Predictor()

        with (
            computed_categories(known.rows),
            PROGRAMS.take(program_key(known, "prior", whole), make) as (drawn, predictor),
        ):
            how = num_samples, batch_size, asked.sites, asked.statistics
            none = {NO_VALUE: jnp.zeros(1)}
            found = predictor(drawn, none, problem.key, parts, *how)
        reach = None if y is None else reach_of(problem).get(name)
        return predictions_from(problem, name, found, reach)


def _problem(model: Model, data: Data, seed: Seed) -> Problem:
    """The model and its data, possibly without `y`."""
    bound = bind(model, data)
    _check_proper(bound, data)
    if data.rows["y"] is None:
        sites = _sites_without_y(bound, data)
    else:
        sites = sites_of(bound, data)
        model, sites = without_gaps("drop", model, data, sites, in_parts=False)
    return Problem(model, data, sites, None, None, as_key(seed), False)


def _check_proper(model: Model, data: Data) -> None:
    names: list[str] = []

    def run(rows: dict[str, Any]) -> None:
        sites = trace(with_seed(feasible(model), random.key(0))).get_trace(**rows)
        laws = {n: s["fn"] for n, s in sites.items() if s["type"] == "sample"}
        names.extend(n for n, fn in laws.items() if is_improper(fn))

    jax.eval_shape(run, data.rows | {"y": None})
    if names:
        raise ValueError(_IMPROPER.format(names=", ".join(map(repr, names))))


def _sites_without_y(model: Model, data: Data) -> Sites:
    """The sites, found with draws in place of observations."""
    sites = sites_of(model, data)
    whole = on_all_rows(model, data.num_rows)
    grown = row_axes(whole, take_apart((), data.rows), data.num_rows, data.num_rows + 1)
    for name, (site, _) in reversed(grown.items()):
        if site["type"] != "sample":
            continue
        try:
            kinds, labels = kinds_of(model, data.rows | {"y": site["value"]})
        except Exception:  # observations of another shape
            continue
        if kinds.get(name) == "observed":
            latent = tuple(n for n in sites.latent if n != name)
            return sites._replace(latent=latent, observed=(name,), labels=labels)
    return sites
