"""The data of a fit, split into rows and constants, and models bound to both."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.handlers import seed, trace

from ... import _checks
from ..._typing import Model
from ...handlers._feasible import feasible
from ...preprocessing import Schema, fit_schema
from ...preprocessing.schema import Level, find_gaps, read_constant, row_counts
from ..rows._arguments import take_apart
from ..rows._look import Look
from ..rows._plates import on_all_rows
from ._laws import are_labels, asked
from ._missing import GAPS, Missing, completed, opened
from ._new_levels import NewLevels, apart, with_new

_GAPS = (
    "`y` has {count} entries that are NaN or missing (first in row {row}). "
    "`fit(..., missing='drop')` leaves them out of the likelihood, missing='impute' draws them."
)


class Data(NamedTuple):
    """The keyword arguments of a model, split into rows and constants.

    Args:
        rows: The arguments with one entry per row, as arrays, including `y`.
        constants: All others.
        num_rows: The number of rows.
        schema: Their schema, by which later data is encoded.
    """

    rows: dict[str, Any]
    constants: dict[str, Any]
    num_rows: int
    schema: Schema

    def at(self, rows: dict[str, Any]) -> "Data":
        """A subset of the rows, encoded by the schema of all rows."""
        count = len(jax.tree.leaves(rows)[0])
        return self._replace(
            rows=rows, num_rows=count, schema=self.schema._replace(num_rows=count)
        )

    def with_codes(self, counts: Mapping[str, int]) -> "Data":
        """The data with some arrays declared as codes of given numbers of categories; checked."""
        return self._replace(schema=self.schema.with_codes(counts, self.rows))


def data_of_fit(
    y: Any,
    data: dict[str, Any],
    constants: Mapping[str, Any] | None = None,
    missing: Missing | None = None,
) -> Data:
    """Split `y` and the other arguments of a model into rows and constants, and check them."""
    if y is None:
        raise ValueError(
            "`y` must be given: the observations that the model is fitted to. Call "
            "`fit(model, y=y, x=x)`."
        )
    y = np.asarray(y) if isinstance(y, tuple) else y
    entries = y if isinstance(y, list) else ()
    is_complex = any(isinstance(entry, (complex, np.complexfloating)) for entry in entries)
    if is_complex or getattr(getattr(y, "dtype", None), "kind", "") == "c":
        raise TypeError(
            "`y` must hold real numbers, got complex ones. Take their real and their imaginary "
            "parts as two outputs."
        )
    if missing is not None:
        _checks.one_of("missing", missing, ("drop", "impute"))
    gaps = find_gaps("y", y)
    if gaps.count and missing is None:
        raise ValueError(_GAPS.format(count=gaps.count, row=gaps.row))
    y = gaps.filled if gaps.count else y
    schema, rows, others = fit_schema({"y": y, **data}, constants=_checked(constants))
    rows |= {GAPS: gaps.is_missing} if gaps.count else {}
    return Data(jax.tree.map(jnp.asarray, rows), others, schema.num_rows, schema)


def data_of_prior(
    y: Any, data: dict[str, Any], constants: Mapping[str, Any] | None = None
) -> Data:
    """As `data_of_fit`, but `y` may be absent; then all arrays are rows."""
    if y is not None:
        return data_of_fit(y, data, constants, "drop")
    counts = {name: count for name, count in row_counts(data).items() if count is not None}
    if not counts:
        raise ValueError(
            "`y`, or an argument of the model that has rows, must be given: nothing else "
            "says how many there are."
        )
    if len(set(counts.values())) > 1:
        found = ", ".join(f"`{name}` has {count}" for name, count in counts.items())
        raise ValueError(
            f"Without `y` all arrays are rows and must have the same length, but {found}. Pass "
            "arguments that are not rows in `constants`."
        )
    first = {name: data[name] for name in counts}
    schema, rows, others = fit_schema(first | data, constants=_checked(constants))
    rows = {"y": None} | jax.tree.map(jnp.asarray, rows)
    return Data(rows, others, schema.num_rows, schema)


def _checked(constants: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if constants is not None and not isinstance(constants, Mapping):
        kind = type(constants).__name__
        raise TypeError(
            f"`constants` must be a dictionary of arguments by name, got {constants!r} "
            f"({kind})."
        )
    return constants


def data_to_predict(
    fitted: Data,
    data: dict[str, Any],
    unread: Collection[str] = (),
    new_levels: NewLevels | None = None,
    y: Any = None,
) -> dict[str, Any]:
    """The rows of new data, under the names of the fitted data.

    Args:
        fitted: The fitted data.
        data: The new data.
        unread: Rows that may be omitted because any values will do.
        new_levels: The treatment of levels that were not in the fit; an error if None.
        y: Their observations; None to draw them.
    """
    if new_levels is not None:
        _checks.one_of("new_levels", new_levels, ("draw", "mean"))
    for name in data.keys() & fitted.constants.keys():
        if not _is_same(read_constant(name, data[name]), fitted.constants[name]):
            raise ValueError(
                f"`{name}` is a constant of this fit and cannot be another one in a "
                "prediction. Leave it out, or fit anew."
            )
    given = {name: v for name, v in data.items() if name not in fitted.constants}
    for name in given:
        _checks.one_of("data", name, [n for n in fitted.schema.rows if n != "y"])
    given |= {} if y is None else {"y": y}
    rows = fitted.schema.encode(
        given, without=("y", *unread), may_be_new=new_levels is not None
    )
    rows = jax.tree.map(jnp.asarray, rows)
    if new_levels is not None:
        rows = apart(fitted.schema, rows, new_levels)
    others = {name: fitted.rows[name] for name in unread if name not in rows}
    if not others:
        return rows
    some = jnp.arange(len(jax.tree.leaves(rows)[0])) % fitted.num_rows
    return rows | jax.tree.map(lambda x: x[some], others)


def label_names(schema: Schema, count: int) -> tuple[Level, ...]:
    """The labels in the form in which `y` was given: words, booleans, or numbers from 0.

    Args:
        schema: The schema of the data.
        count: The number of labels of the likelihood; labels without a row are numbers.
    """
    leaves = [leaf for a in schema.arguments if a.name == "y" for leaf in a.leaves]
    columns = [column for leaf in leaves for column in leaf.columns]
    names: tuple[Level, ...] = ()
    if len(columns) == 1:
        is_switch = columns[0].kind == "bool" and count == 2
        names = (False, True) if is_switch else columns[0].levels or ()
    return (*names[:count], *range(len(names), count))


def _is_same(one: Any, other: Any) -> bool:
    """Whether two constants are equal, comparing arrays entry by entry."""
    (leaves, kind), (others, other_kind) = jax.tree.flatten(one), jax.tree.flatten(other)
    arrays = (jax.Array, np.ndarray)
    return kind == other_kind and all(
        a is b or (np.array_equal(a, b) if isinstance(a, arrays) else bool(np.all(a == b)))
        for a, b in zip(leaves, others, strict=True)
    )


def _length(value: Any) -> int | None:
    """The length of an array; None for anything else."""
    is_array = isinstance(value, (jax.Array, np.ndarray)) and value.ndim > 0
    return len(value) if is_array else None


def bind(model: Model, data: Data) -> Model:
    """`model`, a NumPyro model or guide, as a function of rows only.

    It holds the constants but not the rows, because cached programs must not retain the data.
    """
    constants = data.constants

    def bound(**rows: Any) -> Any:
        complete, rows = asked(*with_new(model, opened(model, rows)))
        return complete(**constants, **rows)

    return bound


def without_gaps(
    missing: Missing | None, model: Model, data: Data, sites: "Sites", *, in_parts: bool
) -> tuple[Model, "Sites"]:
    """The model of the available observations, and its sites.

    Args:
        missing: The treatment of missing observations.
        model: The model as the user wrote it.
        data: Its data.
        sites: Its sites.
        in_parts: Whether it is used with minibatches.

    Raises:
        ValueError: If missing observations can be neither left out nor imputed as requested.
    """
    if missing is None or GAPS not in data.rows:
        return model, sites
    bound = on_all_rows(bind(model, data), data.num_rows)
    whole = {name: value for name, value in data.rows.items() if name != GAPS}
    Look(bound).at_observations(take_apart((), whole))
    found = completed(missing, bound, data.rows, in_parts=in_parts)
    return found.of(model), sites._replace(latent=sites.latent + found.latent)


class Sites(NamedTuple):
    """Names of a model's sites.

    Args:
        latent: Latent sites.
        observed: Sites observed by `y`.
        computed: Deterministic sites.
        kept: State that the model keeps between steps by `numpyro.mutable`.
        labels: Observed sites whose observations are labels.
        params: Parameters that are optimized.
    """

    latent: tuple[str, ...]
    observed: tuple[str, ...]
    computed: tuple[str, ...]
    kept: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    params: tuple[str, ...] = ()


def sites_of(model: Model, data: Data) -> Sites:
    """Find the sites by tracing the bound `model` with and without `y`.

    Raises:
        ValueError: If the model fails, possibly because of arrays of other lengths; if no site
            is observed although `y` is given.
    """
    try:
        with_y, labels = kinds_of(model, data.rows)
        without, _ = kinds_of(model, data.rows | {"y": None})
    except Exception as error:
        lengths = {n: _length(v) for n, v in data.constants.items() if _length(v)}
        if not lengths:
            raise
        found = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
        raise ValueError(
            f"`y` has {data.num_rows} rows, {found}, and the model does not run with them: "
            f"{error} Data must have the same number of rows; arrays of other lengths are "
            "passed to the model unchanged."
        ) from error
    if data.rows["y"] is not None and "observed" not in with_y.values():
        raise ValueError(
            "`model` must observe `y`, got a model without an observed site: the fit would be "
            "the prior. Hand `y` to a link, or to `numpyro.sample(..., obs=y)`."
        )
    named = lambda kind: tuple(name for name, k in with_y.items() if k == kind)
    observed = [n for n in named("observed") if without.get(n) not in ("observed", None)]
    kinds = "sample", "deterministic", "mutable", "param"
    latent, computed, kept, params = map(named, kinds)
    return Sites(latent, tuple(observed), computed, kept, labels, params)


def kinds_of(model: Model, rows: dict[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The kinds of sites, and the names of observed sites that are labels."""
    kinds: dict[str, str] = {}
    labels: list[str] = []

    def run(rows: dict[str, Any]) -> None:
        sites = trace(seed(feasible(model), random.key(0))).get_trace(**rows)
        for name, site in sites.items():
            kinds[name] = "observed" if site.get("is_observed") else site["type"]
            if kinds[name] == "observed" and are_labels(site["fn"]):
                labels.append(name)

    jax.eval_shape(run, rows)
    return kinds, tuple(labels)


def check_takes_y(model: Model) -> None:
    """Check that the model is a function with an argument `y`."""
    _checks.function("model", model)
    try:
        parameters = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):
        return
    if not any(p.name == "y" or p.kind is p.VAR_KEYWORD for p in parameters):
        names = [p.name for p in parameters]
        raise ValueError(
            f"`model` must take the observations as `y`, None to draw them, got a function "
            f"of {names}. Write it as `def model(x, y=None)`."
        )
