"""A link: the likelihood that closes a model.

The comments are for you: delete them from your copy.
"""

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from numpyro_bayeslayers import _checks
from numpyro_bayeslayers.layers.heads._observation import Plate, observe


# Predictions first, then `y`, then `name`; what is particular to the law is a keyword.
def gamma_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    concentration: float = 1.0,
    plate: Plate = None,
) -> Array:
    r"""Positive observations around the exponential of a prediction.

    $$y_i \sim \text{Gamma}\big(k,\ k e^{-\hat y_i}\big)$$

    with mean $e^{\hat y_i}$ and that mean over $\sqrt{k}$ as standard deviation.

    Args:
        y_hat: Predictions of the logarithm of the mean, (n,), (n, 1), or (n, u).
        y: Observations of the same rows, positive, or None to draw them.
        name: Name of the observed site.
        concentration: The concentration $k$, positive; 1 is the exponential distribution.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}``, observed.

    Returns:
        The observations or draws of them, (n,) for one output.

    Raises:
        ValueError: If predictions and observations do not line up row by row, or if
            `concentration` is not positive.
        TypeError: If `name` is no string.

    Example:
        >>> from numpyro.handlers import seed
        >>> seed(gamma_link, 0)(jnp.zeros((5, 1)), concentration=2.0).shape
        (5,)

    References:
        McCullagh and Nelder (1989), "Generalized linear models", section 8.2.
    """
    _checks.positive("concentration", concentration)

    # `observe` lines rows up, enters plates, and hands the aligned predictions over.
    def law(y_hat: Array) -> dist.Distribution:
        return dist.Gamma(concentration, concentration * jnp.exp(-y_hat))

    return observe(name, law, y, plate, y_hat=y_hat)
