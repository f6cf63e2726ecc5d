"""A term of formulas: ``laplace(x, z)``."""

from typing import Any

import numpy as np
import numpyro.distributions as dist

from numpyro_bayeslayers.formulas import Term
from numpyro_bayeslayers.layers import FixedPriorLayer


def laplace(term: Term, x: Any, width: float = 1.0) -> Any:
    """Slopes of columns under Laplace priors: ``laplace(a, b, width=0.5)`` in a formula.

    Args:
        term: What is known of the term when the formula is read.
        x: Its columns in the data, (n,) or (n, d): what is learned of them is learned here.
        width: Scale of the priors, in standard deviations of the outcome for one of a column.

    Returns:
        The function that the model calls with these columns of any rows; it gives (n, units).

    Raises:
        ValueError: If the term has columns of words, or `width` is not positive.

    Example:
        >>> from numpyro.handlers import seed
        >>> x = np.linspace(-1.0, 1.0, 5)
        >>> seed(laplace(Term("laplace(age)"), x), 0)(x).shape
        (5, 1)
    """
    if term.levels:
        term.refuse(f"must have columns of numbers, and has words in {list(term.levels)}.")
    if width <= 0:
        term.refuse(f"must have `width` above zero, got {width}.")
    spread = np.std(x, axis=0)
    layer = FixedPriorLayer(dist.Laplace(0.0, width * term.scale))
    return lambda x: layer(term.name, x / spread, units=term.units)
