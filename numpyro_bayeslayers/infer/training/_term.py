"""How a site takes the rows, from what it is with more of them and with fewer."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpyro.distributions import Distribution, Independent

from ..._typing import Message

# How far rounding may move a value, in units of its last digit.
ROUNDING = 1e3

Rows = Int[np.ndarray, " n"]
Shape = tuple[int, ...]


class Term(NamedTuple):
    """How a site takes the rows.

    Args:
        kind: ``"apart"`` if it has one entry for each row, with a law that is the same
            whichever rows are beside it; ``"summed"`` if its log density is a sum over rows;
            ``"constant"`` if rows do not matter to it; ``"joint"`` if none of these.
        is_sample: Whether it is a sample site, not a deterministic one.
        is_observed: Whether it is an observed sample site.
        grows: Whether it has more entries with more rows.
        reason: What was seen of a ``"joint"`` site.
    """

    kind: Literal["apart", "summed", "constant", "joint"]
    is_sample: bool
    is_observed: bool
    grows: bool
    reason: str = ""


class Seen(NamedTuple):
    """What a trace shows of a site: its kind and its shapes.

    Args:
        is_sample: Whether it is a sample site, not a deterministic one.
        is_observed: Whether it is an observed sample site.
        value: The shape of its value.
        batch: The shape of its law's batch.
        event: The shape of its law's event, where events that are entries apart are batch.
        names: The names of its law's parameters, and of what else decides its density.
        shapes: Their shapes.
    """

    is_sample: bool
    is_observed: bool
    value: Shape
    batch: Shape
    event: Shape
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]


def seen(site: Message) -> tuple[Seen, list[Any]]:
    """What a site shows, and the arrays that its names stand for.

    Raises:
        ValueError: If its law and its observations do not line up.
    """
    arrays: dict[str, Any] = {}
    batch: Shape = ()
    event: Shape = ()
    is_sample = site["type"] == "sample"
    is_observed = is_sample and site["is_observed"]
    if is_sample:
        fn = site["fn"]
        while isinstance(fn, Independent):
            fn = fn.base_dist
        arrays, batch, event = _parameters(fn), fn.batch_shape, fn.event_shape
        if site["scale"] is not None:
            arrays["the weight"] = site["scale"]
    if is_observed:
        # NumPyro lines them up only where it takes the density.
        ndim = jnp.ndim(site["value"]) - site["fn"].event_dim
        jnp.broadcast_shapes(site["fn"].batch_shape, jnp.shape(site["value"])[:ndim])
    if is_observed or not is_sample:
        arrays["the value"] = site["value"]
    shapes = tuple(jnp.shape(x) for x in arrays.values())
    value = jnp.shape(site["value"])
    found = Seen(is_sample, is_observed, value, batch, event, tuple(arrays), shapes)
    return found, list(arrays.values())


def _parameters(fn: Distribution, prefix: str = "") -> dict[str, Any]:
    """The arrays of a distribution by name."""
    fields, (children, _) = type(fn).gather_pytree_data_fields(), fn.tree_flatten()
    found: dict[str, Any] = {}
    for field, child in zip(fields, children, strict=True):
        if isinstance(child, Distribution):
            found |= _parameters(child, f"{prefix}{field}.")
            continue
        leaves = jax.tree.leaves(child)
        for i, leaf in enumerate(leaves):
            found[f"`{prefix}{field}`" + (f" ({i})" if len(leaves) > 1 else "")] = leaf
    return found


def total(site: Message) -> Float[Array, ""]:
    """The log density of all that a site observes or draws."""
    density = site["fn"].log_prob(site["value"])
    return jnp.sum(density if site["scale"] is None else site["scale"] * density)


class Runs(NamedTuple):
    """Two runs of a model that are compared.

    Args:
        rows: The numbers of the rows of the first.
        some: Which of these rows the second has, if it has fewer.
        here: Which entries of the first are compared, of those that belong to rows.
        there: Which entries of the second.
    """

    rows: Rows
    some: Rows
    here: Rows
    there: Rows

    def axis(self, one: Shape, other: Shape) -> int | None:
        """The axis with an entry for each row, from the shapes with more and with fewer.

        Raises:
            ValueError: If the shapes differ in any other way.
        """
        if one == other:
            return None
        if len(one) == len(other):
            pairs = list(zip(one, other, strict=True))
            axes = [i for i, (a, b) in enumerate(pairs) if a != b]
            if len(axes) == 1 and pairs[axes[0]] == (len(self.rows), len(self.some)):
                return axes[0]
        raise ValueError(
            f"it has shape {one}, and {other} for {len(self.some)} of the rows"
        )


def asks_total(one: Seen, other: Seen, runs: Runs) -> bool:
    """Whether its log density may tell how a site takes the rows, and nothing else does."""
    if not one.is_sample:
        return False
    try:
        axes = [runs.axis(one.value, other.value), runs.axis(one.batch, other.batch)]
    except ValueError:
        return True
    is_fixed = axes == [None, None] and one.is_observed
    return is_fixed or one.event != other.event


def term(
    name: str,
    one: Seen,
    other: Seen | None,
    values: tuple[list[Any], list[Any]],
    totals: list[Any] | None,
    runs: Runs,
) -> Term:
    """How the site `name` takes the rows.

    Args:
        name: Its name.
        one: What it is with all rows.
        other: What it is with some of them.
        values: The arrays of its law in the two runs that are compared.
        totals: Its log density with all rows, and with two parts of them.
        runs: The two runs.
    """
    joint = Term("joint", one.is_sample, one.is_observed, grows=True)
    if other is None or one.names != other.names:
        return joint._replace(reason=f"{name!r} is another site with fewer rows")
    grows = (one.value, one.batch, one.event) != (other.value, other.batch, other.event)
    joint = joint._replace(grows=grows)
    reason = ""
    for i, what in enumerate(one.names):
        shapes = one.shapes[i], other.shapes[i]
        reason = reason or _difference(what, shapes, values[0][i], values[1][i], runs)
    joint = joint._replace(reason=f"{name!r}: {reason}")
    if asks_total(one, other, runs):
        if not grows and not reason:
            return joint._replace(kind="constant", reason="")
        if totals is None or len(totals) < 3:
            return joint
        whole, *parts = (float(x) for x in totals)
        size = abs(whole) + sum(map(abs, parts))
        if abs(whole - sum(parts)) <= _tolerance(totals[0].dtype) * size:
            return joint._replace(kind="summed", reason="")
        sums = (
            f"{whole:.4g}, and those of its two parts are {parts[0]:.4g} and {parts[1]:.4g}"
        )
        return joint._replace(
            reason=f"the log density of {name!r} for {len(runs.rows)} rows is {sums}"
        )
    if reason:
        return joint
    return joint._replace(kind="apart" if grows else "constant", reason="")


def _tolerance(dtype: Any) -> float:
    return min(ROUNDING * float(jnp.finfo(dtype).eps), 0.05)


def _difference(
    what: str, shapes: tuple[Shape, Shape], one: Any, other: Any, runs: Runs
) -> str:
    """How two arrays differ in what they have in common; nothing if they do not."""
    try:
        axis = runs.axis(*shapes)
    except ValueError as error:
        return f"{what}: {error}"
    one, other = np.asarray(one), np.asarray(other)
    if axis is not None:
        one, other = np.take(one, runs.here, axis), np.take(other, runs.there, axis)
    if not jnp.issubdtype(one.dtype, jnp.inexact):
        is_apart = one != other
    else:
        finite = np.abs(one[np.isfinite(one)])
        bound = _tolerance(one.dtype) * (finite.max() if finite.size else 0.0)
        is_same = (one == other) | (np.isnan(one) & np.isnan(other))
        with np.errstate(invalid="ignore"):
            is_apart = ~(is_same | (np.abs(one - other) <= bound))
    if not is_apart.any():
        return ""
    at = tuple(np.argwhere(is_apart)[0])
    which = "" if axis is None else f" of row {runs.rows[runs.here[at[axis]]]}"
    return (
        f"{what}{which} is {one[at]:.4g} beside {len(runs.rows) - 1} rows, and "
        f"{other[at]:.4g} beside others"
    )
