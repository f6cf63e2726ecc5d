"""Sparse regression on many columns."""

from typing import Any

import numpy as np
from jaxtyping import Array

from .. import _checks
from ..layers import HorseshoeLayer, expected_sparsity
from ._term import Forward, Term


def hs(
    term: Term, x: Any, p0: float | None = None, slab: float = 2.5, df: float = 4.0
) -> Forward:
    """Horseshoe prior over columns or a matrix of columns: ``hs(a, b, c)``, ``hs(genes, p0=5)``.

    The term is a regularized `HorseshoeLayer`. Columns are standardized to mean zero and
    standard deviation one over the data, so a coefficient is the effect of one standard
    deviation.

    Args:
        term: The parsed term.
        x: The columns, (n,) or (n, d).
        p0: The expected number of relevant columns, above 0 and below d, which sets the global
            scale (`expected_sparsity`); if None, the global scale is the scale of the outcome.
        slab: The slab's scale in units of the outcome's scale: the largest plausible effect of
            one standard deviation.
        df: The degrees of freedom of the slab.

    Raises:
        ValueError: If there are no numeric columns, a column is constant, or a setting is out
            of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> x = jnp.eye(5)
        >>> seed(hs(Term("hs(genes)"), x), 0)(x).shape
        (5, 1)
    """
    if term.levels or term.prior is not None:
        term.refuse("takes numeric columns, and its settings by name: `hs(a, b, p0=1)`.")
    data = np.asarray(x, float)
    data = data.reshape(len(data), -1)
    n, d = data.shape
    center, spread = data.mean(0), data.std(0)
    constant = np.flatnonzero(spread == 0)
    if constant.size:
        names = term.columns or tuple(map(str, range(d)))
        term.refuse(f"has a constant column, {names[constant[0]]!r}. Leave it out.")
    tau: Any = term.scale
    if p0 is not None:
        if not 0 < _checks.positive("p0", p0) < d:
            term.refuse(f"must have `p0` above 0 and below its {d} columns, got {p0}.")
        tau = expected_sparsity(p0, d, n, term.scale)
    size = _checks.positive("slab", slab) * term.scale
    kind: Any = HorseshoeLayer
    layer = kind(size, _checks.positive("df", df), global_scale=tau)

    def forward(x: Array) -> Array:
        rows = (x[:, None] if x.ndim == 1 else x) - center
        return layer(term.name, rows / spread, units=term.units)

    return forward
