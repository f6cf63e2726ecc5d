"""Smooth surfaces over two columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from .. import _checks
from ..layers import TensorSmoothLayer
from ._smooth import knots_of
from ._term import Forward, Term


def te(term: Term, x: Any, k: int | Sequence[int] = 5, degree: int = 3) -> Forward:
    """A smooth surface over two columns: ``te(lon, lat, k=6)`` is a `TensorSmoothLayer`.

    The surface has the mean zero over the rectangle of the columns, and holds the smooth effects
    of each column alone too: leave these out. The two scales, of the deviation along each
    column from what is straight in both, have the prior HalfNormal(scale of the outcome),
    unless `priors` has another one; planes and the product of the columns have
    coefficients N(0, 2.5 scales). Beyond the data the surface goes on along its tangents. The
    units of the columns do not matter.

    Args:
        term: What is known of the term.
        x: Its columns, (n, 2).
        k: The number of B-splines along each column, more than `degree`: one number, or two.
        degree: Their degree, at least 1.

    Raises:
        ValueError: If there are not two columns of numbers, or they are too few for the knots.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> x = jnp.linspace(0.0, 1.0, 20).reshape(10, 2)
        >>> seed(te(Term("te(lon, lat)"), x, k=4), 0)(x).shape
        (10, 1)
    """
    if np.ndim(x) != 2 or np.shape(x)[1] != 2 or term.levels:
        term.refuse("must have two columns of numbers. For one column take `s(x)`.")
    degree = _checks.size("degree", degree)
    sizes = (k, k) if np.ndim(k) == 0 else tuple(np.asarray(k).tolist())
    if len(sizes) != 2:
        term.refuse(f"must have one `k`, or two, one for each column, got {k!r}.")
    data = np.asarray(x, float)
    knots = [knots_of(term, data[:, i], size, degree) for i, size in enumerate(sizes)]
    scale = dist.HalfNormal(term.scale) if term.prior is None else term.prior
    trend = dist.Normal(0.0, 2.5 * term.scale)
    kind: Any = TensorSmoothLayer
    layer = kind(scale, trend, extrapolate="linear")

    def forward(x: Array) -> Array:
        return layer(term.name, x, knots, units=term.units, degree=degree)

    return forward
