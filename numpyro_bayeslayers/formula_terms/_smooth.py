"""Smooth effects of one column."""

from typing import Any

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from .. import _checks
from ..basis import make_knots
from ..layers import SplineLayer
from ._term import Forward, Term


def s(term: Term, x: Any, k: int = 10, degree: int = 3) -> Forward:
    """A smooth effect of one column: ``s(age, k=10)`` is a `SplineLayer` of k functions.

    The scale of its steps is HalfNormal(scale of the outcome), unless `priors` has another
    prior of it. The effect is zero before the first knot; beyond the knots it goes on as a
    straight line.

    Args:
        term: What is known of the term.
        x: Its column, (n,).
        k: The number of B-splines, more than `degree`.
        degree: Their degree.

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
    degree = _checks.count("degree", degree)
    if _checks.size("k", k) <= degree:
        term.refuse(f"must have `k` above `degree`={degree}, got {k}.")
    try:
        knots = make_knots(x, k - degree - 1, degree)
    except ValueError as error:
        term.refuse(f"cannot have k={k} functions: {error} Take fewer.")
    scale = dist.HalfNormal(term.scale) if term.prior is None else term.prior
    kind: Any = SplineLayer
    layer = kind(scale)

    def forward(x: Array) -> Array:
        return layer(term.name, x, knots, units=term.units, degree=degree)

    return forward
