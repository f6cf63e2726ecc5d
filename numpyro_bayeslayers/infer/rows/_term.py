"""How a site depends on the rows, by comparing runs with more and with fewer rows."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpyro.distributions import Distribution, Independent

from ..._typing import Message

# The tolerance for rounding, in units in the last place.
ROUNDING = 1e3

Rows = Int[np.ndarray, " n"]
Shape = tuple[int, ...]


class Term(NamedTuple):
    """How a site depends on the rows.

    Args:
        kind: ``"apart"`` if it has one entry per row, with a distribution that does not depend
            on other rows; ``"summed"`` if its log density is a sum over rows; ``"constant"`` if
            it does not depend on rows; ``"joint"`` otherwise.
        is_sample: Whether it is a sample site rather than a deterministic one.
        is_observed: Whether it is an observed sample site.
        grows: Whether its number of entries grows with the rows.
        reason: The evidence for a ``"joint"`` site.
    """

    kind: Literal["apart", "summed", "constant", "joint"]
    is_sample: bool
    is_observed: bool
    grows: bool
    reason: str = ""


class Seen(NamedTuple):
    """The type and shapes of a site in a trace.

    Args:
        is_sample: Whether it is a sample site rather than a deterministic one.
        is_observed: Whether it is an observed sample site.
        value: The shape of its value.
        batch: The batch shape of its distribution.
        event: The event shape of its distribution, with independent event axes counted as
            batch.
        names: The names of its distribution's parameters and of other inputs of its density.
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
    """The `Seen` of a site, and the arrays that belong to its names.

    Raises:
        ValueError: If its distribution and its observations have incompatible shapes.
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
        # NumPyro broadcasts them only when it computes the density.
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
    """The total log density of a site."""
    density = site["fn"].log_prob(site["value"])
    return jnp.sum(density if site["scale"] is None else site["scale"] * density)


class Runs(NamedTuple):
    """Two runs of a model to be compared.

    Args:
        rows: The row indices of the first run.
        some: The subset of these rows in the second run, if it has fewer.
        here: The entries of the first run that are compared.
        there: The corresponding entries of the second run.
    """

    rows: Rows
    some: Rows
    here: Rows
    there: Rows

    def axis(self, one: Shape, other: Shape) -> int | None:
        """The row axis, from the shapes with more and with fewer rows.

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
    """Whether only the log density can show how a site depends on the rows."""
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
    """How the site `name` depends on the rows.

    Args:
        name: The name of the site.
        one: The site with all rows.
        other: The site with some of the rows.
        values: The arrays of its distribution in the two runs.
        totals: Its log density with all rows and with two parts of them.
        runs: The two runs.
    """
    joint = Term("joint", one.is_sample, one.is_observed, grows=True)
    if other is None or one.names != other.names:
        return joint._replace(reason=f"{name!r} is a different site with fewer rows")
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
    """How two arrays differ in their common entries; None if they do not."""
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
        f"{what}{which} is {one[at]:.4g} with {len(runs.rows) - 1} other rows, and "
        f"{other[at]:.4g} with different ones"
    )
