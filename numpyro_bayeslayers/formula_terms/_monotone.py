"""Monotone effects of ordered levels."""

from typing import Any

import numpyro.distributions as dist
from jaxtyping import Array

from .. import _checks
from ..layers import MonotoneLayer
from ._term import Forward, Term, numbers_are_levels


@numbers_are_levels
def mo(term: Term, x: Any, *more: Any, concentration: Any = 1.0) -> Forward:
    r"""Monotone effect of ordered levels: ``mo(grade)`` is a `MonotoneLayer`.

    $$f(l) = \beta D \sum_{i \le l} \zeta_i, \qquad
    \zeta \sim \text{Dirichlet}(\alpha, \dots, \alpha), \quad \beta \sim N(0, \lambda), \quad
    \lambda \sim \text{HalfNormal}(2.5 s / D)$$

    where $D$ is the number of steps, $\beta$ the mean step and $s$ the scale of the outcome;
    the effect of the first level is zero. The column holds ordered categories,
    ``pandas.Categorical(..., ordered=True)``, or numbers: each distinct number is a level,
    whatever its distance from the next one.

    Args:
        term: The parsed term; its prior, if given, is the prior of $\lambda$.
        x: Codes of the levels, (n,), from 0.
        more: Further columns; an error if there are any.
        concentration: $\alpha$, positive: above 1, steps of equal size are likelier.

    Raises:
        ValueError: If the term does not have exactly one column, or the column does not have at
            least two ordered levels.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.formulas import Term
        >>> grade = {"grade": ("low", "middle", "high")}
        >>> term = Term("mo(grade)", levels=grade, ordered=frozenset(grade))
        >>> codes = jnp.array([0, 2, 1])
        >>> seed(mo(term, codes), 0)(codes).shape
        (3, 1)

    References:
        Bürkner and Charpentier (2020), "Modelling monotonic effects of ordinal predictors in
        Bayesian regression models", British Journal of Mathematical and Statistical
        Psychology 73, section 2.
    """
    if more or len(term.levels) != 1 or term.columns:
        term.refuse("must have exactly one column of ordered levels.")
    ((name, levels),) = term.levels.items()
    if name not in term.ordered:
        term.refuse(
            f"must have ordered levels, got {list(levels)} without an order. Declare it: "
            f"`pandas.Categorical(data[{name!r}], categories=[lowest, ..., highest], "
            "ordered=True)`."
        )
    steps = len(levels) - 1
    if steps < 1:
        term.refuse(f"must have at least two levels, got {list(levels)}.")
    own = dist.HalfNormal(2.5 * term.scale / steps)
    kind: Any = MonotoneLayer
    layer = kind(
        own if term.prior is None else term.prior,
        concentration=_checks.positive("concentration", concentration),
    )

    def forward(x: Array) -> Array:
        return layer(term.name, x, steps + 1, term.units)

    return forward
