"""Bilinear forms of two sets of columns."""

from jaxtyping import Array, ArrayLike, Float, Num

from ...primitives import linear
from ._call import Activation, identity, named, on_pairs
from ._coefficient import AbstractAdaptiveLayer
from ._op import Contract


class BilinearLayer(AbstractAdaptiveLayer):
    r"""A bilinear form for each unit.

    $$y_u = a\big(x^\top W_u z\big)$$

    Call it as ``layer(name, x, z, units=1, activation=identity)`` with (n, d1) and (n, d2); the
    output has shape (n, units). It equals `InteractionLayer` with its coefficients arranged as
    a matrix, but does not store the products of columns.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (u,); ``W`` (d1, d2, u), deterministic with its ``W_base`` unless
        `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`, and if `x` and `z` differ in rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(BilinearLayer(), 0)("xz", jnp.ones((5, 3)), jnp.ones((5, 2))).shape
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
            scale = self._scale((units,), rank=3)
            shape = (x.shape[-1], z.shape[-1], units)
            weight = self._coefficients("W", shape, scale)
            return (linear(x, weight, op=Contract()) * z[..., None]).sum(-2)

        return activation(on_pairs(rows, x, z))


class LowRankBilinearLayer(AbstractAdaptiveLayer):
    r"""A bilinear form of low rank for each unit, $W = A B^\top$ under one scale.

    $$y = a\Big(\sum_l (x A)_l (z B)_l\Big)$$

    Call it as ``layer(name, x, z, low_rank_dim, units=1, activation=identity)`` with (n, d1)
    and (n, d2); the output has shape (n, units). `LowRankInteractionLayer` has a scale for each
    side, of which only the product is identified.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (u,); ``A`` (d1, l, u), ``B`` (d2, l, u), deterministic with their bases
        unless `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`, and if `x` and `z` differ in rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = LowRankBilinearLayer()
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
            scale = self._scale((units,), rank=3)
            factor_a, factor_b = (
                self._coefficients(site, (data.shape[-1], low_rank_dim, units), scale)
                for site, data in (("A", x), ("B", z))
            )
            left = linear(x, factor_a, op=Contract())
            return (left * linear(z, factor_b, op=Contract())).sum(-2)

        return activation(on_pairs(rows, x, z))
