"""Plates that choose rows by themselves: once, and never where all rows are asked for."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ._jit import is_dynamic

_OWN_PLATE = (
    "The model draws {of} rows at a time in its plate {name!r} by itself, and `batch_size` "
    "would draw once more. Leave out `batch_size`, or the plate's `subsample_size`."
)


class OwnPlateError(ValueError):
    """A model that chooses rows by itself is given a minibatch."""


def in_batches(fn: Model, num_rows: int | None) -> Model:
    """`fn` for minibatches from outside, which count for all rows without its plates.

    A plate that is written for minibatches (``subsample_size=len(x)``) scales nothing.

    Args:
        fn: A model or a guide.
        num_rows: All rows of the data.

    Raises:
        OwnPlateError: From `fn`, if one of its plates chooses among the rows.
    """
    return _with_plates(fn, num_rows, is_batch=True, is_auto=False)


def on_all_rows(fn: Model, num_rows: int | None, *, is_auto: bool = False) -> Model:
    """`fn` for all rows that it is given, which none of its plates subsamples.

    Args:
        fn: A model or a guide.
        num_rows: The rows that it was fitted to: a plate of so many is one of rows.
        is_auto: Whether it is an autoguide, which has the rows that it was fitted to.
    """
    return _with_plates(fn, num_rows, is_batch=False, is_auto=is_auto)


def _with_plates(
    fn: Model, fitted_rows: int | None, *, is_batch: bool, is_auto: bool
) -> Model:
    def run(*args: Any, **kwargs: Any) -> Any:
        shapes = [x.shape for x in jax.tree.leaves((args, kwargs)) if is_dynamic(x)]
        given = next((shape[0] for shape in shapes if shape), None)
        with _plates(fitted_rows if is_auto else given, fitted_rows, is_batch):
            return fn(*args, **kwargs)

    return run


class _plates(Messenger):  # noqa: N801
    """Gives plates of rows the rows that there are, and takes their scale away.

    Args:
        num_rows: The rows that there are.
        fitted_rows: All rows of the fit.
        is_batch: Whether the rows are a minibatch, which is scaled outside.
    """

    def __init__(
        self, num_rows: int | None, fitted_rows: int | None, is_batch: bool
    ) -> None:
        self.num_rows = num_rows
        self.fitted_rows = fitted_rows
        self.is_batch = is_batch
        self.scales: dict[str, float] = {}
        super().__init__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "plate" and self.num_rows is not None:
            size, part = msg["args"]
            if part is None or part == size:
                return
            if part != self.num_rows and size not in (self.num_rows, self.fitted_rows):
                return
            if self.is_batch and part != self.num_rows:
                raise OwnPlateError(_OWN_PLATE.format(of=part, name=msg["name"]))
            self.scales[msg["name"]] = size / self.num_rows
            msg["args"] = (size, self.num_rows)
            msg["value"] = jnp.arange(self.num_rows)
        elif msg["type"] == "subsample" and self.scales:
            if jnp.shape(msg["value"])[:1] == (self.num_rows,):
                msg["kwargs"]["event_dim"] = None  # it has the rows that there are
        elif msg["type"] == "sample" and self.scales:
            for frame in msg["cond_indep_stack"]:
                if frame.name in self.scales and msg["scale"] is not None:
                    msg["scale"] = msg["scale"] / self.scales[frame.name]
