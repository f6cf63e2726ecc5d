"""Which sites of a model belong to rows, and how a minibatch scales them."""

from collections.abc import Mapping
from typing import Any

import jax
from jax import random
from numpyro.handlers import seed, trace
from numpyro.infer.autoguide import AutoGuide
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...handlers._feasible import feasible
from ._arguments import Arguments, on_shapes
from ._plates import in_batches
from ._row_terms import row_terms
from ._term import Term

_JOINT = (
    "{what}: rows of the model depend on other rows ({reason}). {mend} Quantities that combine "
    "rows (lags, cumulative sums, column statistics) can be computed beforehand and passed as "
    "a column; an argument that only by chance has as many entries as there are rows belongs "
    "in `constants` of `fit`."
)
_LOCAL = (
    "The latent sites {names} have one value for each row. With minibatches, the guide would "
    "use the parameters of other rows. Leave out `batch_size` and subsample in the model, "
    "`numpyro.plate(..., subsample_size=...)`, or write an amortized guide that computes their "
    "distribution from the row."
)


def row_axes(
    model: Model, parts: Arguments, small: int, large: int
) -> dict[str, tuple[Message, int]]:
    """The sites whose values grow with the rows: their messages and row axes.

    The model is traced with two numbers of rows, without computing anything.

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
                # The value of a factor is empty: use its batch shape.
                shape = site["fn"].batch_shape if 0 in value.shape else value.shape
                value = jax.ShapeDtypeStruct(shape, value.dtype)
                kept = {key: site.get(key) for key in ("type", "is_observed", "infer")}
                sites[name] = {**kept, "value": value}

    on_shapes(run, parts, rows)
    return sites


def scaled_sites(
    model: Model, guide: Model, parts: Arguments, size: int, num_rows: int
) -> frozenset[str]:
    """The sites scaled for a minibatch: those that are sums over rows.

    Args:
        model: Any NumPyro model.
        guide: Its guide; an autoguide cannot be used again.
        parts: Their arguments.
        size: The number of rows of a minibatch.
        num_rows: The number of rows of the data.

    Raises:
        ValueError: If rows depend on each other, or the guide has parameters for each row.
    """
    model = in_batches(model, num_rows)
    terms = row_terms(model, parts, size)
    if terms is None:  # one row, or inside a user's trace: only shapes are known
        found = row_axes(model, parts, size, size + 1)
        names = frozenset(found)
        local = [
            name
            for name, (site, _) in found.items()
            if site["type"] == "sample" and not site["is_observed"]
        ]
    else:
        sites = {name: term for name, term in terms.items() if term.is_sample}
        refuse_joint("Minibatches would fit a different model", sites)
        names = frozenset(n for n, t in sites.items() if t.kind in ("apart", "summed"))
        local = [n for n, t in sites.items() if t.grows and not t.is_observed]
    if local:
        _check_local(guide, parts, size, num_rows, local)
    return names


def refuse_joint(
    what: str, terms: Mapping[str, Term], *, mend: str = "Leave out `batch_size`."
) -> None:
    """Raise if one of these sites combines rows.

    Args:
        what: What would go wrong, without a period.
        terms: How the sites depend on the rows.
        mend: The remedy, a sentence.

    Raises:
        ValueError: With the sites, rows and values that differ.
    """
    joint = [term.reason for term in terms.values() if term.kind == "joint"]
    if joint:
        raise ValueError(_JOINT.format(what=what, reason="; ".join(joint[:2]), mend=mend))


def _check_local(
    guide: Model, parts: Arguments, size: int, num_rows: int, local: list[str]
) -> None:
    """Raise for latent sites with a value per row if the guide has parameters for each row."""
    if isinstance(guide, AutoGuide):
        drawn = _shapes(guide, parts, size)
        own = [name for name in local if name in drawn]
    else:
        grown = row_axes(in_batches(guide, num_rows), parts, size, size + 1)
        has_params = any(site["type"] == "param" for site, _ in grown.values())
        own = local if has_params else []
    if own:
        raise ValueError(_LOCAL.format(names=", ".join(own)))


class in_minibatch(Messenger):  # noqa: N801
    """Scales the sites of rows in a minibatch to all rows, and answers `primitives.step`.

    Args:
        fn: The model or the guide.
        names: The sites of rows.
        scale: The number of rows of the data per row of the batch.
        step: The number of updates so far.
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
