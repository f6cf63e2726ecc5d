"""Interactions of two sets of columns."""

from jaxtyping import Array, ArrayLike, Float, Num

from ...basis import pairwise_interactions
from ...primitives import linear
from ._call import Activation, identity, named, on_pairs
from ._coefficient import AbstractAdaptiveLayer
from ._op import Contract


class InteractionLayer(AbstractAdaptiveLayer):
    r"""One coefficient for each pair of a column of `x` and a column of `z`.

    $$y = a\big((x \otimes z) \beta\big)$$

    in the order $x_1 z_1, x_1 z_2, \dots$. Call it as
    ``layer(name, x, z, units=1, activation=identity)`` with (n, d1) and (n, d2); the output
    has shape (n, units).

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (u,); ``beta`` (d1 d2, u), deterministic with its ``beta_base`` unless
        `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`, and if `x` and `z` differ in rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(InteractionLayer(), 0)("xz", jnp.ones((5, 3)), jnp.ones((5, 2))).shape
        (5, 1)
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        z: Num[ArrayLike, "..."],
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array, z: Array) -> Array:
            pairs = pairwise_interactions(x, z)
            scale = self._scale((units,), rank=2)
            return linear(
                pairs, self._coefficients("beta", (pairs.shape[-1], units), scale)
            )

        return activation(on_pairs(rows, x, z))


class LowRankInteractionLayer(AbstractAdaptiveLayer):
    r"""Low-rank interactions of two sets of columns, with a scale for each set.

    $$y = a\Big(\sum_l (x \theta_1)_l (z \theta_2)_l\Big)$$

    for each unit. Call it as
    ``layer(name, x, z, low_rank_dim, units=1, activation=identity)`` with (n, d1) and
    (n, d2); the output has shape (n, units).

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale1``, ``scale2`` (u,); ``theta1`` (d1, l, u), ``theta2`` (d2, l, u),
        deterministic with their bases unless `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`, and if `x` and `z` differ in rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = LowRankInteractionLayer()
        >>> seed(layer, 0)("xz", jnp.ones((5, 3)), jnp.ones((5, 2)), low_rank_dim=2).shape
        (5, 1)
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        z: Num[ArrayLike, "..."],
        low_rank_dim: int,
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array, z: Array) -> Array:
            sides = []
            for side, data in (("1", x), ("2", z)):
                scale = self._scale((units,), rank=3, name="scale" + side)
                shape = (data.shape[-1], low_rank_dim, units)
                theta = self._coefficients("theta" + side, shape, scale)
                sides.append(linear(data, theta, op=Contract()))
            return (sides[0] * sides[1]).sum(-2)

        return activation(on_pairs(rows, x, z))
