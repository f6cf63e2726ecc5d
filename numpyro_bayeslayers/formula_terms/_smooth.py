"""Smooth effects of one column."""

from typing import Any

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from .. import _checks
from ..basis import make_knots
from ..layers import PSplineLayer
from ._term import Forward, Term


def s(term: Term, x: Any, k: int = 10, degree: int = 3) -> Forward:
    """A smooth effect of one column: ``s(age, k=10)`` is a `PSplineLayer` of k functions.

    The effect has the mean zero over the range of the column. The prior of its deviation from
    a straight line is HalfNormal(scale of the outcome), unless `priors` has another one, and
    the line rises from the middle to the end by N(0, 2.5 scales). Beyond the data it goes on
    as a straight line.

    Args:
        term: What is known of the term.
        x: Its column, (n,).
        k: The number of B-splines, more than `degree`.
        degree: Their degree, at least 1.

    Raises:
        ValueError: If there is not one column of numbers, or they are too few for the knots.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> x = jnp.linspace(0.0, 1.0, 5)
        >>> seed(s(Term("s(age)"), x, k=6), 0)(x).shape
        (5, 1)
    """
    if np.ndim(x) != 1 or term.levels:
        term.refuse("must have one column of numbers. For several columns take `gp(x, z)`.")
    degree = _checks.size("degree", degree)
    if _checks.size("k", k) <= degree:
        term.refuse(f"must have `k` above `degree`={degree}, got {k}.")
    try:
        knots = make_knots(x, k - degree - 1, degree)
    except ValueError as error:
        term.refuse(f"cannot have k={k} functions: {error} Take fewer.")
    scale = dist.HalfNormal(term.scale) if term.prior is None else term.prior
    trend = dist.Normal(0.0, 2.5 * term.scale)
    kind: Any = PSplineLayer
    layer = kind(scale, trend, extrapolate="linear")

    def forward(x: Array) -> Array:
        return layer(term.name, x, knots, units=term.units, degree=degree)

    return forward
