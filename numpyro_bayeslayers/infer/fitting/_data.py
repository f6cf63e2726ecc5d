"""The data of a fit: rows and constants told apart, and models bound to both."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.handlers import seed, trace
from numpyro.primitives import Messenger

from ... import _checks
from ..._typing import Message, Model
from ...handlers._feasible import feasible
from ...preprocessing import Schema, fit_schema
from ...preprocessing.schema import read_constant

_OWN_PLATE = (
    "The model draws {of} of {size} rows in its plate {name!r} by itself, and `batch_size` "
    "would draw once more. Leave out `batch_size`, or the plate's `subsample_size`."
)


class Data(NamedTuple):
    """Keyword arguments of a model, told apart.

    Args:
        rows: Those with one entry for each row, as arrays; `y` is one of them.
        constants: All others.
        num_rows: The number of rows.
        schema: What is known of them, by which later data is read.
    """

    rows: dict[str, Any]
    constants: dict[str, Any]
    num_rows: int
    schema: Schema

    def with_codes(self, counts: Mapping[str, int]) -> "Data":
        """The data, of which some arrays are codes of so many categories each; checked."""
        return self._replace(schema=self.schema.with_codes(counts, self.rows))


def data_of_fit(
    y: Any, data: dict[str, Any], constants: Mapping[str, Any] | None = None
) -> Data:
    """Take `y` and the other arguments of a model apart; what is in them is looked at."""
    if y is None:
        raise ValueError(
            "`y` must be given: the observations that the model is fitted to. Call "
            "`fit(model, y=y, x=x)`."
        )
    if constants is not None and not isinstance(constants, Mapping):
        kind = type(constants).__name__
        raise TypeError(
            f"`constants` must be a dictionary of arguments by name, got {constants!r} "
            f"({kind})."
        )
    y = np.asarray(y) if isinstance(y, tuple) else y
    schema, rows, others = fit_schema({"y": y, **data}, constants=constants)
    return Data(jax.tree.map(jnp.asarray, rows), others, schema.num_rows, schema)


def data_to_predict(fitted: Data, data: dict[str, Any]) -> dict[str, Any]:
    """The rows of new data, with the names that the model was fitted to."""
    for name in data.keys() & fitted.constants.keys():
        if not _is_same(read_constant(name, data[name]), fitted.constants[name]):
            raise ValueError(
                f"`{name}` is a constant of this fit and cannot be another one in a "
                "prediction. Leave it out, or fit anew."
            )
    given = {name: v for name, v in data.items() if name not in fitted.constants}
    for name in given:
        _checks.one_of("data", name, [n for n in fitted.schema.rows if n != "y"])
    return jax.tree.map(jnp.asarray, fitted.schema.encode(given, without=("y",)))


def _is_same(one: Any, other: Any) -> bool:
    """Whether two constants are equal, array by array."""
    (leaves, kind), (others, other_kind) = jax.tree.flatten(one), jax.tree.flatten(other)
    arrays = (jax.Array, np.ndarray)
    return kind == other_kind and all(
        a is b or (np.array_equal(a, b) if isinstance(a, arrays) else bool(np.all(a == b)))
        for a, b in zip(leaves, others, strict=True)
    )


def _length(value: Any) -> int | None:
    """How long an array is; None for anything else."""
    is_array = isinstance(value, (jax.Array, np.ndarray)) and value.ndim > 0
    return len(value) if is_array else None


def bind(model: Model, data: Data, batch_size: int | None, *, is_whole: bool) -> Model:
    """`model` as a function of rows alone, whose plates of rows are right.

    Args:
        model: A NumPyro model or guide.
        data: What it is fitted to; its constants are bound.
        batch_size: Rows in a minibatch that is handed in, None if all are.
        is_whole: Whether it never subsamples by itself, and not only without `y`.
    """

    def bound(**rows: Any) -> Any:
        leaves = jax.tree.leaves(rows)
        num_rows = len(leaves[0]) if leaves else None
        whole = is_whole or rows.get("y") is None
        with _plates(num_rows, data.num_rows, whole, batch_size is not None):
            return model(**data.constants, **rows)

    return bound


class _plates(Messenger):  # noqa: N801
    """Sees to it that plates which subsample rows do so once, and not in predictions.

    Args:
        num_rows: The rows that the model is called with.
        fitted_rows: All rows of the fit.
        is_whole: Whether plates of rows take all of them.
        is_batch: Whether the rows are a minibatch, which is scaled outside.
    """

    def __init__(
        self, num_rows: int | None, fitted_rows: int, is_whole: bool, is_batch: bool
    ) -> None:
        self.num_rows = num_rows
        self.fitted_rows = fitted_rows
        self.is_whole = is_whole
        self.is_batch = is_batch
        self.scales: dict[str, float] = {}
        super().__init__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "plate" and self.num_rows is not None:
            size, part = msg["args"]
            if part is None or part == size:
                return
            is_rows = part == self.num_rows or size in (self.num_rows, self.fitted_rows)
            if self.is_batch and not self.is_whole and part != self.num_rows and is_rows:
                raise ValueError(_OWN_PLATE.format(of=part, size=size, name=msg["name"]))
            if is_rows and (self.is_whole or self.is_batch):
                self.scales[msg["name"]] = size / self.num_rows
                msg["args"] = (size, self.num_rows)
                msg["value"] = jnp.arange(self.num_rows)
        elif msg["type"] == "sample" and self.scales:
            for frame in msg["cond_indep_stack"]:
                if frame.name in self.scales and msg["scale"] is not None:
                    msg["scale"] = msg["scale"] / self.scales[frame.name]


class Sites(NamedTuple):
    """Names of a model's sites.

    Args:
        latent: Those that are drawn.
        observed: Those observed by `y`.
        computed: Deterministic ones.
    """

    latent: tuple[str, ...]
    observed: tuple[str, ...]
    computed: tuple[str, ...]


def sites_of(model: Model, data: Data) -> Sites:
    """Find the sites, by tracing the bound `model` with `y` and without.

    Raises:
        ValueError: If it does not run, and arrays of other lengths may be the cause.
    """
    try:
        with_y = _kinds(model, data.rows)
        without = _kinds(model, data.rows | {"y": None})
    except Exception as error:
        lengths = {n: _length(v) for n, v in data.constants.items() if _length(v)}
        if not lengths or (isinstance(error, ValueError) and "`batch_size`" in str(error)):
            raise
        found = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
        raise ValueError(
            f"`y` has {data.num_rows} rows, {found}, and the model does not run with them: "
            f"{error} Data must have one row count; arrays of other lengths are handed to "
            "the model whole."
        ) from error
    named = lambda kind: tuple(name for name, k in with_y.items() if k == kind)
    observed = [n for n in named("observed") if without.get(n) not in ("observed", None)]
    return Sites(named("sample"), tuple(observed), named("deterministic"))


def _kinds(model: Model, rows: dict[str, Any]) -> dict[str, str]:
    kinds: dict[str, str] = {}

    def run(rows: dict[str, Any]) -> None:
        sites = trace(seed(feasible(model), random.key(0))).get_trace(**rows)
        for name, site in sites.items():
            kinds[name] = "observed" if site.get("is_observed") else site["type"]

    jax.eval_shape(run, rows)
    return kinds


def check_takes_y(model: Model) -> None:
    """The model is a function with an argument `y`."""
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
