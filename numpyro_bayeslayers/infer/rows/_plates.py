"""Plates that subsample rows: not in addition to minibatches, and not for all rows."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ..compilation._jit import is_dynamic

_OWN_PLATE = (
    "The model already subsamples {of} rows in its plate {name!r}, and `batch_size` would "
    "subsample again. Leave out `batch_size` or the plate's `subsample_size`."
)


class OwnPlateError(ValueError):
    """A model that subsamples rows itself is used with minibatches."""


def in_batches(fn: Model, num_rows: int | None) -> Model:
    """`fn` for given minibatches, which are scaled outside its plates.

    A plate written for minibatches (``subsample_size=len(x)``) does not scale its sites.

    Args:
        fn: A model or a guide.
        num_rows: The number of rows of the data.

    Raises:
        OwnPlateError: From `fn`, if one of its plates chooses rows.
    """
    return _with_plates(fn, num_rows, is_batch=True, is_auto=False)


def on_all_rows(fn: Model, num_rows: int | None, *, is_auto: bool = False) -> Model:
    """`fn` for all given rows, without subsampling in its plates.

    Args:
        fn: A model or a guide.
        num_rows: The number of rows of the fit: plates of this size are plates of rows.
        is_auto: Whether it is an autoguide, whose rows are those of the fit.
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
    """Sets the size of plates of rows to the given rows and removes their scale.

    Args:
        num_rows: The number of given rows.
        fitted_rows: The number of rows of the fit.
        is_batch: Whether the rows are a minibatch, which is scaled elsewhere.
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
                msg["kwargs"]["event_dim"] = None  # it has the given rows
        elif msg["type"] == "sample" and self.scales:
            for frame in msg["cond_indep_stack"]:
                if frame.name in self.scales and msg["scale"] is not None:
                    msg["scale"] = msg["scale"] / self.scales[frame.name]
