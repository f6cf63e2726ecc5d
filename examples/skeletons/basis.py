"""A pure function of arrays: no sites, no state.

The comments are for you: delete them from your copy.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from numpyro_bayeslayers import _checks


# Shapes stand in the annotations, in the words of the design: `*batch`, `n`, `d`. The tests
# check them at run time.
def hinge_features(
    x: Num[ArrayLike, "*batch d"], knots: Num[ArrayLike, " k"]
) -> Float[Array, "*batch d*k"]:
    r"""Broken lines: each column's distance above each knot.

    $$\phi_{jk}(x) = \max(0,\ x_j - t_k)$$

    Args:
        x: Rows, (..., D), in the units of the knots.
        knots: The knots $t$, (K,).

    Returns:
        The features column by column, (..., D K).

    Raises:
        ValueError: If `knots` holds an entry that is not finite.

    Example:
        >>> hinge_features(jnp.array([[0.0], [1.5]]), [0.0, 1.0]).tolist()
        [[0.0, 0.0], [1.5, 0.5]]

    References:
        Friedman (1991), "Multivariate adaptive regression splines", Annals of Statistics 19,
        equation 13.
    """
    # Checks look at concrete values and let tracers pass, so they stand outside of `jit`.
    _checks.no_nan("knots", knots)
    return _hinges(jnp.asarray(x, jnp.result_type(float, x)), jnp.asarray(knots))


@jax.jit
def _hinges(x: Float[Array, "*batch d"], knots: Num[Array, " k"]) -> Array:
    above = jnp.maximum(x[..., None] - knots.astype(x.dtype), 0)
    return above.reshape(*x.shape[:-1], -1)
