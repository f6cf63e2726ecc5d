"""Smooth surfaces over two columns, by tensor products of B-splines."""

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
    """Smooth surface over two columns: ``te(lon, lat, k=6)`` is a `TensorSmoothLayer`.

    The surface has mean zero over the rectangle spanned by the columns. It includes the smooth
    main effects of each column, so do not add them. The unpenalized part, a plane and the
    product of the columns, has coefficients N(0, 2.5 scales); the scales of the deviation from
    it along each column have the prior HalfNormal(scale of the outcome), unless `priors` gives
    another one. Beyond the data the surface is extrapolated linearly. The result does not
    depend on the units of the columns.

    Args:
        term: The parsed term.
        x: The columns, (n, 2).
        k: The number of B-splines along each column, above `degree`: one number for both, or
            two.
        degree: The degree of the B-splines, at least 1.

    Raises:
        ValueError: If the term does not have exactly two numeric columns, or they have too few
            distinct values for the knots.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> x = jnp.linspace(0.0, 1.0, 20).reshape(10, 2)
        >>> seed(te(Term("te(lon, lat)"), x, k=4), 0)(x).shape
        (10, 1)
    """
    if np.ndim(x) != 2 or np.shape(x)[1] != 2 or term.levels:
        term.refuse("must have exactly two numeric columns. For one column use `s(x)`.")
    degree = _checks.size("degree", degree)
    sizes = (k, k) if np.ndim(k) == 0 else tuple(np.asarray(k).tolist())
    if len(sizes) != 2:
        term.refuse(f"must have one `k` for both columns or a pair of them, got {k!r}.")
    data = np.asarray(x, float)
    knots = [knots_of(term, data[:, i], size, degree) for i, size in enumerate(sizes)]
    scale = dist.HalfNormal(term.scale) if term.prior is None else term.prior
    trend = dist.Normal(0.0, 2.5 * term.scale)
    kind: Any = TensorSmoothLayer
    layer = kind(scale, trend, extrapolate="linear")

    def forward(x: Array) -> Array:
        return layer(term.name, x, knots, units=term.units, degree=degree)

    return forward
