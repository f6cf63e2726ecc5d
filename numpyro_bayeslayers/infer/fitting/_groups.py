"""The ArviZ groups of a fit: posterior draws and quantities computed from them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array
from numpyro.infer import MCMC

from ...preprocessing import Schema
from .._arviz import Group
from ..ensembles._predictive import Predictor
from ..ensembles._rows_of_fit import Fitted, Told
from ..ensembles._svi_run import known_values
from ..rows._arguments import take_apart
from ..rows._plates import on_all_rows
from ..training._member import Drawn
from ._chain_figures import noted_by
from ._labels import Labels, title
from ._laws import ask, name_of
from ._method import NO_VALUE, Posterior, Problem, no_guide
from ._missing import GAPS
from ._predicting import rows_of_sites
from ._programs import PROGRAMS, program_key

# ArviZ's names for the statistics of NumPyro's samplers.
_STATISTICS = {
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "adapt_state.step_size": "step_size",
}


def groups_of(
    problem: Problem,
    posterior: Posterior,
    draws: Mapping[str, Array],
    labels: Labels,
    key: Any,
    *,
    log_likelihood: bool,
    posterior_predictive: bool,
) -> dict[str, Group]:
    """The groups by their ArviZ names.

    Args:
        problem: What was fitted.
        posterior: What was found.
        draws: Of its sites, (chains, draws, *site).
        labels: The columns and categories that they belong to.
        key: The random key of the predictions.
        log_likelihood: Whether to compute that of each observation at each draw.
        posterior_predictive: Whether to draw new observations at each draw.
    """
    was_sampled = posterior.samples is not None
    which = np.flatnonzero(posterior.finite.which)
    found = {name: np.asarray(x) for name, x in draws.items()}  # on the host: no programs
    if not was_sampled and _are_points(found):
        # The draws of one chain: those of a member are one draw, many times.
        found = {name: np.swapaxes(x[:, :1], 0, 1) for name, x in found.items()}
        which = np.arange(1)
    axes = _Axes.of(problem, labels, which)
    groups = {"posterior": axes.group(found)}
    if was_sampled:
        noted = statistics_of(posterior.result.mcmc)
        groups["sample_stats"] = axes.group({n: x[which] for n, x in noted.items()})
    given = _Given(problem, posterior, found, key)
    seen = _observed(given)
    kept = _rows_that_count(problem, axes, seen)
    if log_likelihood:
        each = {name: given.at(name, "density") for name in seen}
        groups["log_likelihood"] = axes.of_some_rows(each, kept)
    if posterior_predictive and seen:
        groups["posterior_predictive"] = axes.of_some_rows(given.predicted(), kept)
    values = {name: value for name, (value, _) in seen.items() if value is not None}
    groups["observed_data"] = axes.of_some_rows(values, kept, is_drawn=False)
    groups["constant_data"] = _constant_data(problem, axes)
    return groups


def statistics_of(mcmc: MCMC) -> dict[str, np.ndarray]:
    """What a sampler noted of each draw, (chains, draws), under ArviZ's names."""
    found = {_STATISTICS.get(n, n): x for n, x in noted_by(mcmc).items()}
    if "potential_energy" in found:
        found["lp"] = -found.pop("potential_energy")
    if "n_steps" in found:
        found["tree_depth"] = np.log2(found["n_steps"]).astype(int) + 1
    return found


def _are_points(draws: Mapping[str, np.ndarray]) -> bool:
    """Whether all draws of each member are the same."""
    count = max((x.shape[1] for x in draws.values()), default=1)
    return count > 1 and all(bool((x == x[:, :1]).all()) for x in draws.values())


class _Axes(NamedTuple):
    """What axes are called.

    Args:
        rows: By the sites that grow with the rows, the axis that does.
        row: What this axis is called.
        named: By site, the axes whose entries have names.
        num_rows: The number of rows.
        chains: The numbers of the chains.
        output: The name of the axis of several outputs, and theirs, if `y` is a table.
    """

    rows: Mapping[str, int]
    row: str
    named: Labels
    num_rows: int
    chains: np.ndarray
    output: tuple[str, tuple[str, ...]] | None

    @classmethod
    def of(cls, problem: Problem, named: Labels, chains: np.ndarray) -> "_Axes":
        """The axes of what was fitted."""
        sites, schema = problem.sites, problem.data.schema
        taken = {*sites.latent, *sites.computed, *sites.observed, *problem.data.rows}
        row = "row"
        while row in taken | problem.data.constants.keys():
            row += "_"
        rows, output = rows_of_sites(problem), _table_columns(schema).get("y")
        return cls(rows, row, named, problem.data.num_rows, chains, output)

    def group(
        self,
        values: Mapping[str, Any],
        kept: np.ndarray | None = None,
        *,
        is_drawn: bool = True,
    ) -> Group:
        """These arrays by site, with the names of their axes.

        Args:
            values: The arrays.
            kept: The rows that they have; None for all.
            is_drawn: Whether the axes of chains and draws come first.
        """
        dims, coords = {}, {}
        for name, value in values.items():
            shape = np.shape(value)[2 if is_drawn else 0 :]
            dims[name], known = self._named(name, shape)
            coords |= known
        if is_drawn:
            coords["chain"] = self.chains
        if kept is not None:
            coords[self.row] = kept
        return Group(values, dims, coords, is_drawn)

    def of_some_rows(
        self, values: Mapping[str, Any], kept: np.ndarray, *, is_drawn: bool = True
    ) -> Group:
        """As `group`, without the other rows."""
        before = 2 if is_drawn else 0
        some = {
            name: np.take(x, kept, self.rows[name] + before) if name in self.rows else x
            for name, x in values.items()
        }
        return self.group(some, kept, is_drawn=is_drawn)

    def _named(
        self, name: str, shape: tuple[int, ...]
    ) -> tuple[list[str | None], dict[str, Any]]:
        dims: list[str | None] = [None] * len(shape)
        coords: dict[str, Any] = {}
        for axis in self.named.get(name, ()):
            if axis.fits(shape):
                dims[-axis.place], coords[axis.title] = axis.title, list(axis.names)
        if name in self.rows and self.rows[name] < len(shape):
            dims[self.rows[name]] = self.row
            if self.output and name in self.rows and dims[-1] is None:
                label, words = self.output
                if shape[-1] == len(words):
                    dims[-1], coords[label] = label, list(words)
        return dims, coords


class _Given:
    """The model at given draws: each is a member, of which one prediction is drawn.

    Args:
        problem: What was fitted.
        posterior: What was found.
        draws: Of its sites, (chains, draws, *site).
        key: The random key.
    """

    def __init__(
        self,
        problem: Problem,
        posterior: Posterior,
        draws: Mapping[str, np.ndarray],
        key: Any,
    ) -> None:
        self.problem = problem
        self._key = key
        # Without latents, each member is one draw.
        members = posterior.finite.count
        self._shape = next((x.shape[:2] for x in draws.values()), (members, 1))
        count = self._shape[0] * self._shape[1]
        latent = {n: x for n, x in draws.items() if n in problem.sites.latent}
        self._values = {n: x.reshape(count, *x.shape[2:]) for n, x in latent.items()}
        self._values[NO_VALUE] = np.zeros(count)
        if posterior.samples is None:
            own = (*problem.sites.params, *problem.sites.kept)
            known = known_values(posterior.result)
            of_members = posterior.finite.take({n: known[n] for n in own if n in known})
            repeat = lambda x: np.repeat(np.asarray(x), count // len(x), axis=0)
            self._values |= jax.tree.map(repeat, of_members)

    def _run(self, rows: dict[str, Any], sites: tuple[str, ...], only: Any) -> Any:
        data = self.problem.data
        model = self.problem.bound(self.problem.model)

        def make() -> tuple[Drawn, Predictor]:
            return Drawn(on_all_rows(model, data.num_rows), no_guide), Predictor()

        values = jax.tree.map(lambda x: x[only], self._values)
        parts = take_apart((), rows)
        told = Told(Fitted(take_apart((), data.rows)), is_new=False)
        with PROGRAMS.take(program_key(data, "given", model), make) as (drawn, predictor):
            how = 1, None, sites, None, told
            found = predictor(drawn, values, self._key, parts, *how)
        return {name: found[name][0] for name in sites}

    def at(self, name: str, what: str) -> np.ndarray:
        """`what` of the law of an observed site at each draw, (chains, draws, ...)."""
        return self._of_chains(self._asked(name, what, slice(None)))

    def once(self, name: str, what: str) -> np.ndarray:
        """What is the same at all draws."""
        return np.asarray(self._asked(name, what, slice(1))[0])

    def predicted(self) -> dict[str, np.ndarray]:
        """New observations at each draw."""
        rows = self.problem.data.rows | {"y": None}
        found = self._run(rows, self.problem.sites.observed, slice(None))
        return {name: self._of_chains(x) for name, x in found.items()}

    def _asked(self, name: str, what: str, only: slice) -> Array:
        answer = name_of(name, what)
        return self._run(self.problem.data.rows | ask(name, what), (answer,), only)[answer]

    def _of_chains(self, each: Array) -> np.ndarray:
        return np.asarray(each).reshape(*self._shape, *each.shape[1:])


def _observed(given: _Given) -> dict[str, tuple[np.ndarray | None, np.ndarray]]:
    """By observed site, the observations, NaN where missing, and which of them count.

    The observations are None if it is not known where they are missing.
    """
    problem = given.problem
    gaps = [np.asarray(x) for x in jax.tree.leaves(problem.data.rows.get(GAPS))]
    found: dict[str, tuple[np.ndarray | None, np.ndarray]] = {}
    for name in problem.sites.observed:
        value, counts = given.once(name, "value"), given.once(name, "counts")
        if not gaps:
            found[name] = value, counts
        elif len(gaps) == 1 and gaps[0].size == value.size:
            missing = gaps[0].reshape(value.shape)
            within = missing.reshape(*counts.shape, -1).any(-1)
            found[name] = np.where(missing, np.nan, value), counts & ~within
        else:
            found[name] = None, counts
    return found


def _rows_that_count(
    problem: Problem, axes: _Axes, seen: Mapping[str, tuple[Any, np.ndarray]]
) -> np.ndarray:
    """The rows of which an observation is neither missing nor left out by a mask."""
    counts = np.zeros(problem.data.num_rows, bool)
    for name, (_, each) in seen.items():
        if name not in axes.rows:
            return np.arange(problem.data.num_rows)
        counts |= np.moveaxis(each, axes.rows[name], 0).reshape(len(counts), -1).any(1)
    return np.flatnonzero(counts)


def _table_columns(schema: Schema) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By arrays that were tables, what the axis of the columns is called, and theirs."""
    leaves = [leaf for argument in schema.arguments for leaf in argument.leaves]
    return {
        leaf.label: (
            title(leaf.label, "columns"),
            tuple(str(column.name) for column in leaf.columns),
        )
        for leaf in leaves
        if leaf.is_table
    }


def _constant_data(problem: Problem, axes: _Axes) -> Group:
    """The other arguments of the model: rows, with words for categories, and constants."""
    values: dict[str, Any] = {}
    dims: dict[str, list[str | None]] = {}
    coords: dict[str, Any] = {axes.row: np.arange(problem.data.num_rows)}
    tables, levels = _table_columns(problem.data.schema), problem.data.schema.levels
    for name, value in problem.data.rows.items():
        if name in ("y", GAPS):
            continue
        for path, leaf in jax.tree_util.tree_leaves_with_path(value):
            label = name + jax.tree_util.keystr(path)
            dims[label] = [axes.row, *[None] * (leaf.ndim - 1)]
            values[label] = np.asarray(leaf)
            if label in levels:
                values[label] = np.asarray([str(w) for w in levels[label]])[values[label]]
            if label in tables and leaf.ndim == 2:
                column, words = tables[label]
                dims[label][1], coords[column] = column, list(words)
    for name, value in problem.data.constants.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(value):
            if isinstance(leaf, (jax.Array, np.ndarray, bool, int, float)):
                values[name + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return Group(values, dims, coords, is_drawn=False)
