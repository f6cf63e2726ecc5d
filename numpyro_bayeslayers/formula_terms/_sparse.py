"""Many columns of which few matter."""

from typing import Any

import numpy as np
from jaxtyping import Array

from .. import _checks
from ..layers import HorseshoeLayer, expected_sparsity
from ._term import Forward, Term


def hs(
    term: Term, x: Any, p0: float | None = None, slab: float = 2.5, df: float = 4.0
) -> Forward:
    """A horseshoe over columns, or over a matrix of them: ``hs(a, b, c)``, ``hs(genes, p0=5)``.

    It is a regularized `HorseshoeLayer` of columns that are shifted to mean zero and scaled to
    standard deviation one over the data: coefficients are effects of one standard deviation.

    Args:
        term: What is known of the term.
        x: Its columns, (n,) or (n, d).
        p0: About how many of them matter: the global scale is then `expected_sparsity`; else
            the scale of the outcome.
        slab: The scale of the slab in scales of the outcome: the largest effect of a standard
            deviation that you would believe.
        df: The degrees of freedom of the slab.

    Raises:
        ValueError: If there are no columns of numbers, one of them is constant, or a setting
            is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> x = jnp.eye(5)
        >>> seed(hs(Term("hs(genes)"), x), 0)(x).shape
        (5, 1)
    """
    if term.levels or term.prior is not None:
        term.refuse(
            "takes columns of numbers, and its settings in the formula: `hs(a, b, p0=1)`."
        )
    data = np.asarray(x, float)
    data = data.reshape(len(data), -1)
    n, d = data.shape
    center, spread = data.mean(0), data.std(0)
    constant = np.flatnonzero(spread == 0)
    if constant.size:
        names = term.columns or tuple(map(str, range(d)))
        term.refuse(
            f"has a column of one value only, {names[constant[0]]!r}. Leave it out."
        )
    tau: Any = term.scale
    if p0 is not None:
        if not 0 < _checks.positive("p0", p0) < d:
            term.refuse(f"must have `p0` above 0 and below {d}, its columns, got {p0}.")
        tau = expected_sparsity(p0, d, n, term.scale)
    size = _checks.positive("slab", slab) * term.scale
    kind: Any = HorseshoeLayer
    layer = kind(size, _checks.positive("df", df), global_scale=tau)

    def forward(x: Array) -> Array:
        rows = (x[:, None] if x.ndim == 1 else x) - center
        return layer(term.name, rows / spread, units=term.units)

    return forward
