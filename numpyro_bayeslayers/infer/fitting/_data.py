"""The data of a fit: rows and constants told apart, and models bound to both."""

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.handlers import seed, trace
from numpyro.primitives import Messenger

from ... import _checks
from ..._typing import Message, Model
from ..training._inputs import named_leaves

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
    """

    rows: dict[str, Any]
    constants: dict[str, Any]
    num_rows: int


def data_of_fit(y: Any, data: dict[str, Any]) -> Data:
    """Take `y` and the other arguments of a model apart; what is in them is looked at.

    Rows are arrays, pandas columns, tables and containers of arrays that are as long as `y`.
    """
    if y is None:
        raise ValueError(
            "`y` must be given: the observations that the model is fitted to. Call "
            "`fit(model, y=y, x=x)`."
        )
    arrays = {name: as_rows(name, value) for name, value in {"y": y, **data}.items()}
    arrays["y"] = np.asarray(y) if isinstance(y, (list, tuple)) else arrays["y"]
    num_rows = _checks.same_length(y=arrays["y"])
    rows, others = {}, {}
    for name, value in arrays.items():
        lengths = {np.shape(leaf)[:1] for leaf in named_leaves(**{name: value}).values()}
        is_rows = lengths == {(num_rows,)} and _is_data(value)
        (rows if is_rows else others)[name] = value
    long = {name: value for name, value in others.items() if _length(value) is not None}
    tables = {name: v for name, v in long.items() if hasattr(data.get(name), "to_numpy")}
    if tables or (long and len(rows) == 1):
        _checks.same_length(y=rows["y"], **(tables or long))
    for name, leaf in named_leaves(**rows).items():
        _checks.no_nan(name, leaf)
    return Data(jax.tree.map(jnp.asarray, rows), others, num_rows)


def data_to_predict(fitted: Data, data: dict[str, Any]) -> dict[str, Any]:
    """The rows of new data, with the names that the model was fitted to."""
    wanted = [name for name in fitted.rows if name != "y"]
    rows = {}
    for name, value in data.items():
        if name in fitted.constants:
            if not _is_same(as_rows(name, value), fitted.constants[name]):
                raise ValueError(
                    f"`{name}` is a constant of this fit and cannot be another one in a "
                    "prediction. Leave it out, or fit anew."
                )
            continue
        _checks.one_of("data", name, wanted)
        rows[name] = as_rows(name, value)
    missing = [name for name in wanted if name not in rows]
    if missing:
        raise ValueError(
            f"`{missing[0]}` must be given: the model was fitted with the rows of "
            f"{', '.join(wanted)}."
        )
    leaves = named_leaves(**rows)
    if leaves:
        _checks.same_length(**leaves)
    for name, leaf in leaves.items():
        _checks.no_nan(name, leaf)
    return jax.tree.map(jnp.asarray, rows)


def as_rows(name: str, value: Any) -> Any:
    """A pandas column or table as an array; anything else as it is."""
    if not hasattr(value, "to_numpy"):
        if isinstance(value, np.ndarray) and value.dtype.kind in "OUSMm":
            raise TypeError(_no_numbers(name, value.dtype))
        return value
    if hasattr(value, "columns"):
        columns = [as_rows(f"{name}[{c!r}]", value[c]) for c in value.columns]
        return np.stack(columns, axis=1)
    array = value.to_numpy()
    if array.dtype.kind in "OUSMm":
        try:
            array = np.asarray(value.astype("float64"), float)
        except (TypeError, ValueError) as error:
            raise TypeError(_no_numbers(name, value.dtype)) from error
    _checks.no_nan(name, array)
    return array


def _no_numbers(name: str, dtype: Any) -> str:
    return (
        f"`{name}` must hold numbers, got {dtype}. Number categories first, as "
        "pandas.factorize does; turn dates into numbers."
    )


def _is_data(value: Any) -> bool:
    """Whether all that is in `value` are arrays."""
    leaves = jax.tree.leaves(value)
    return bool(leaves) and all(isinstance(x, (jax.Array, np.ndarray)) for x in leaves)


def _length(value: Any) -> int | None:
    """How long an array is; None for anything else."""
    is_array = isinstance(value, (jax.Array, np.ndarray)) and value.ndim > 0
    return len(value) if is_array else None


def _is_same(one: Any, other: Any) -> bool:
    if _is_data(one) and _is_data(other):
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=False)
        return all(np.array_equal(a, b) for a, b in pairs)
    return one is other or bool(one == other)


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
        sites = trace(seed(model, random.key(0))).get_trace(**rows)
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
