"""Which sites of a model belong to rows, and what becomes of them in a minibatch."""

from typing import Any

import jax
from jax import random
from numpyro.handlers import seed, trace
from numpyro.infer.autoguide import AutoGuide
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...handlers._feasible import feasible
from ._arguments import Arguments, on_shapes

_LOCAL = (
    "The latent sites {names} have one value for each row. In minibatches an autoguide would "
    "give them the parameters of other rows. Give no `batch_size` and subsample in the model, "
    "`numpyro.plate(..., subsample_size=...)`, or write a guide that computes their "
    "distribution from the row."
)


def row_axes(
    model: Model, parts: Arguments, small: int, large: int
) -> dict[str, tuple[Message, int]]:
    """The sites whose values grow with the rows: their messages, and the axis that grows.

    The model is traced at two row counts, without computing anything.

    Args:
        model: Any NumPyro model.
        parts: Its arguments.
        small: One number of rows.
        large: Another one, larger.
    """
    few, many = (_shapes(model, parts, n) for n in (small, large))
    found = {}
    for name, site in few.items():
        if site["type"] == "plate" or name not in many:
            continue
        shapes = site["value"].shape, many[name]["value"].shape
        grown = [i for i, (a, b) in enumerate(zip(*shapes, strict=False)) if a != b]
        if grown:
            found[name] = (site, grown[0])
    return found


def _shapes(model: Model, parts: Arguments, rows: int) -> dict[str, Message]:
    sites: dict[str, Message] = {}

    def run(args: tuple, kwargs: dict[str, Any]) -> None:
        for name, site in (
            trace(seed(feasible(model), random.key(0))).get_trace(*args, **kwargs).items()
        ):
            value = site["value"]
            if isinstance(value, (jax.Array, jax.core.Tracer)):
                # A factor's value is empty: its shape is that of its batch.
                shape = site["fn"].batch_shape if 0 in value.shape else value.shape
                value = jax.ShapeDtypeStruct(shape, value.dtype)
                kept = {key: site.get(key) for key in ("type", "is_observed", "infer")}
                sites[name] = {**kept, "value": value}

    on_shapes(run, parts, rows)
    return sites


def check_local(guide: Model, sites: dict[str, tuple[Message, int]]) -> None:
    """Refuse minibatches of latent rows under a guide that has parameters for each row."""
    local = [
        name
        for name, (s, _) in sites.items()
        if s["type"] == "sample" and not s["is_observed"]
    ]
    if local and isinstance(guide, AutoGuide):
        raise ValueError(_LOCAL.format(names=", ".join(local)))


class in_minibatch(Messenger):  # noqa: N801
    """Scales the sites of rows, so that a minibatch stands for all rows; knows the step.

    Args:
        fn: The model or the guide.
        names: The sites of rows.
        scale: Rows of the data for each row of the batch.
        step: The number of updates made, the answer to `primitives.step`.
    """

    def __init__(self, fn: Model, names: frozenset[str], scale: Any, step: Any) -> None:
        self.names = names
        self.row_scale = scale
        self.step = step
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "step":
            msg["value"] = self.step
            msg["stop"] = True
        elif msg["type"] == "sample" and msg["name"] in self.names:
            scale = msg["scale"]
            msg["scale"] = self.row_scale if scale is None else self.row_scale * scale
