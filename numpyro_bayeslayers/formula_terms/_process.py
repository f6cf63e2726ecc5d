"""Gaussian processes of one to three columns."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from .. import _checks
from ..layers import HSGPFeatures, MaternKernel, RBFKernel
from ..layers.features._kernel import AbstractKernel
from ..primitives import effect
from ._term import Forward, Term

# The default number of basis functions per column, for one, two and three columns.
_SIZES = {1: 30, 2: 12, 3: 7}


def gp(
    term: Term,
    x: Any,
    k: int | None = None,
    kernel: str = "matern",
    boundary: float = 1.5,
) -> Forward:
    """Gaussian process of one to three columns: ``gp(x)``, ``gp(lon, lat, k=15)``.

    The term is an `HSGPFeatures` layer. Columns are shifted and scaled to the range from -1 to
    1 over the data, and lengthscales are in these units. The prior of the lengthscales is
    LogNormal(log 0.5, 1) and that of the variance LogNormal(2 log(scale of the outcome), 1). A
    kernel given for the term in `priors` replaces both.

    Args:
        term: The parsed term.
        x: The columns, (n,) or (n, d).
        k: The number of basis functions per column; if None, 30 for one column, 12 for two and
            7 for three.
        kernel: ``"matern"`` (smoothness 5/2) or ``"rbf"``.
        boundary: The boundary factor of the basis, above 1: half the width of its domain, in
            units of half the range of the data.

    Raises:
        ValueError: If the term does not have one to three numeric columns, a column is
            constant, or a setting is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> x = jnp.linspace(0.0, 1.0, 5)
        >>> seed(gp(Term("gp(day)"), x), 0)(x).shape
        (5, 1)
    """
    data = np.asarray(x, float)
    data = data.reshape(len(data), -1)
    d = data.shape[1]
    if term.levels or d not in _SIZES:
        term.refuse(f"must have one to three numeric columns, got {d}.")
    low, high = data.min(0), data.max(0)
    if np.any(low == high):
        term.refuse("has a constant column. Leave it out.")
    if not _checks.positive("boundary", boundary) > 1:
        term.refuse(f"must have `boundary` above 1, got {boundary}.")
    size = _SIZES[d] if k is None else _checks.size("k", k)
    law: Any = term.prior
    if law is None:
        kind = {"matern": MaternKernel, "rbf": RBFKernel}
        law = kind[_checks.one_of("kernel", kernel, kind)](
            variance=dist.LogNormal(2 * math.log(term.scale), 1.0),
            lengthscale=dist.LogNormal(math.log(0.5), 1.0),
        )
    elif not isinstance(law, AbstractKernel):
        term.refuse(
            f"must have a kernel as its prior, such as MaternKernel(...), got {law!r}."
        )
    layer = HSGPFeatures(d, size, float(boundary), law, term.units, name=term.name)
    center, reach = (low + high) / 2, (high - low) / 2

    def forward(x: Array) -> Array:
        rows = (x[:, None] if x.ndim == 1 else x) - center
        out = layer(rows / reach)
        out = out[..., None] if term.units == 1 else out
        effect(term.name, jnp.asarray(out))
        return out

    return forward
