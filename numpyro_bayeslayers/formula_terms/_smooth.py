"""Smooth effects of one column, by P-splines."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.handlers import block

from .. import _checks
from ..basis import make_knots
from ..layers import PSplineLayer
from ..layers.regression._call import checked_categories
from ..primitives import effect
from ._term import Forward, Term


def s(term: Term, x: Any, by: Any = None, k: int = 10, degree: int = 3) -> Forward:
    """Smooth effect of one column: ``s(age, k=10)`` is a `PSplineLayer` with k functions.

    The effect has mean zero over the range of the column. The scale of its deviation from a
    straight line has the prior HalfNormal(scale of the outcome), unless `priors` gives another
    one; the rise of the line from the middle of the range to its end is N(0, 2.5 scales).
    Beyond the data the effect is extrapolated linearly.

    ``s(age, by=store)`` is a separate effect for each store, each with its own scale. Each has
    mean zero, so add the differences between stores: ``store + s(age, by=store)``.

    Args:
        term: The parsed term.
        x: The column, (n,).
        by: Codes of a categorical column, (n,), for one effect per category; None for a single
            effect.
        k: The number of B-splines, above `degree`.
        degree: The degree of the B-splines, at least 1.

    Raises:
        ValueError: If the term does not have exactly one numeric column, or the column has too
            few distinct values for the knots.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> x = jnp.linspace(0.0, 1.0, 5)
        >>> seed(s(Term("s(age)"), x, k=6), 0)(x).shape
        (5, 1)
    """
    groups = {n: levels for n, levels in term.levels.items() if n.startswith("by=")}
    if np.ndim(x) != 1 or len(groups) < len(term.levels):
        term.refuse("must have exactly one numeric column. For two columns use `te(x, z)`.")
    degree = _checks.size("degree", degree)
    knots = knots_of(term, x, k, degree)
    scale = dist.HalfNormal(term.scale) if term.prior is None else term.prior
    trend = dist.Normal(0.0, 2.5 * term.scale)
    kind: Any = PSplineLayer
    layer = kind(scale, trend, extrapolate="linear")

    def alone(x: Array) -> Array:
        return layer(term.name, x, knots, units=term.units, degree=degree)

    if by is None:
        return alone
    ((_, levels),) = groups.items()
    count = len(levels)

    def of_groups(x: Array, by: Array) -> Array:
        codes = checked_categories(by, count, "by")
        with block(hide_fn=lambda message: message["type"] == "effect"):
            every = layer(term.name, x, knots, units=count * term.units, degree=degree)
        every = every.reshape(*every.shape[:-1], count, term.units)
        at = codes.reshape((1,) * (every.ndim - 3) + (-1, 1, 1))
        out = jnp.take_along_axis(every, at, axis=-2)[..., 0, :]
        effect(term.name, out)
        return out

    return of_groups


def knots_of(term: Term, x: Any, k: Any, degree: int) -> np.ndarray:
    """Knots of `k` B-splines at quantiles of a column."""
    if _checks.size("k", k) <= degree:
        term.refuse(f"must have `k` above `degree`={degree}, got {k}.")
    try:
        return np.asarray(make_knots(x, k - degree - 1, degree))
    except ValueError as error:
        term.refuse(f"cannot have k={k} functions: {error} Use a smaller `k`.")
