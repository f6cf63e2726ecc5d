"""Factorization machines: interactions of all pairs, or triples, of columns."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from ._call import Activation, identity, named, on_columns
from ._coefficient import AbstractAdaptiveLayer
from ._op import Contract


class FMLayer(AbstractAdaptiveLayer):
    r"""Interactions of all pairs of columns, of low rank.

    $$y = a\Big(\sum_{i<j} x_i x_j \langle \theta_i, \theta_j \rangle\Big)
    = a\Big(\tfrac12 \sum_l \big[(\textstyle\sum_i x_i \theta_{il})^2
    - \sum_i x_i^2 \theta_{il}^2\big]\Big)$$

    for each unit, in time linear in the number of columns. Call it as
    ``layer(name, x, low_rank_dim, units=1, activation=identity)`` with `x` of shape (n, d);
    the output has shape (n, units).

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (u,); ``theta`` (d, l, u), deterministic with its ``theta_base`` unless
        `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(FMLayer(), 0)("pairs", jnp.ones((5, 3)), low_rank_dim=2).shape
        (5, 1)

    References:
        Rendle (2010), "Factorization machines", ICDM, equation 1 and lemma 3.1.

    Note:
        The layer is not linear in the factors, so gradient estimators skip it.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        low_rank_dim: int,
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array) -> Array:
            p1, p2 = power_sums(self, x, low_rank_dim, units, 2)
            return 0.5 * (jnp.square(p1) - p2).sum(-2)

        return activation(on_columns(rows, x))


class FM3Layer(AbstractAdaptiveLayer):
    r"""Interactions of all triples of columns, of low rank.

    $$y = a\Big(\sum_{i<j<k} x_i x_j x_k \sum_l \theta_{il} \theta_{jl} \theta_{kl}\Big)
    = a\Big(\tfrac16 \sum_l \big[p_1^3 - 3 p_2 p_1 + 2 p_3\big]\Big), \qquad
    p_k = \sum_i x_i^k \theta_{il}^k$$

    for each unit. Call it as ``layer(name, x, low_rank_dim, units=1, activation=identity)``
    with `x` of shape (n, d); the output has shape (n, units). Pairs are not included: add an
    `FMLayer`.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (u,); ``theta`` (d, l, u), deterministic with its ``theta_base`` unless
        `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(FM3Layer(), 0)("triples", jnp.ones((5, 4)), low_rank_dim=2).shape
        (5, 1)

    References:
        Blondel, Fujino, Ueda, Ishihata (2016), "Higher-order factorization machines",
        NeurIPS, section 3 (the ANOVA kernel of degree three, here by Newton's identity).

    Note:
        The layer is not linear in the factors, so gradient estimators skip it.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        low_rank_dim: int,
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array) -> Array:
            p1, p2, p3 = power_sums(self, x, low_rank_dim, units, 3)
            return ((p1**3 - 3.0 * p2 * p1 + 2.0 * p3) / 6.0).sum(-2)

        return activation(on_columns(rows, x))


def power_sums(
    layer: AbstractAdaptiveLayer, x: Array, low_rank_dim: int, units: int, degree: int
) -> list[Array]:
    """Draw the factors; return the sums over columns of the powers of each x_i theta_il."""
    scale = layer._scale((units,), rank=3)
    theta = layer._coefficients("theta", (x.shape[-1], low_rank_dim, units), scale).value
    return [Contract()(x**k, theta**k) for k in range(1, degree + 1)]
