"""Gaussian processes of some columns."""

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

# Basis functions for each of one, two, three columns.
_SIZES = {1: 30, 2: 12, 3: 7}


def gp(
    term: Term,
    x: Any,
    k: int | None = None,
    kernel: str = "matern",
    boundary: float = 1.5,
) -> Forward:
    """A Gaussian process of up to three columns: ``gp(x)``, ``gp(lon, lat, k=15)``.

    It is an `HSGPFeatures` layer of columns that are shifted and scaled to run from -1 to 1
    over the data; lengthscales are in these units. Their prior is LogNormal(log 0.5, 1), that
    of the variance LogNormal(2 log(scale of the outcome), 1). A kernel as the term's
    prior in `priors` stands in place of both.

    Args:
        term: What is known of the term.
        x: Its columns, (n,) or (n, d).
        k: The number of basis functions for each column; 30 for one column, 12 for each of
            two, 7 for each of three if None.
        kernel: ``"matern"``, of smoothness 5/2, or ``"rbf"``.
        boundary: Half the side of the box of the basis, above 1.

    Raises:
        ValueError: If there are no or over three columns of numbers, one of them is constant,
            or a setting is out of range.

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
        term.refuse(f"must have one to three columns of numbers, got {d}.")
    low, high = data.min(0), data.max(0)
    if np.any(low == high):
        term.refuse("has a column of one value only: there is nothing to be smooth in.")
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
        term.refuse(f"must have a kernel as its prior, MaternKernel(...) say, got {law!r}.")
    layer = HSGPFeatures(d, size, float(boundary), law, term.units, name=term.name)
    center, reach = (low + high) / 2, (high - low) / 2

    def forward(x: Array) -> Array:
        rows = (x[:, None] if x.ndim == 1 else x) - center
        out = layer(rows / reach)
        out = out[..., None] if term.units == 1 else out
        effect(term.name, jnp.asarray(out))
        return out

    return forward
