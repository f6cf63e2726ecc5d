"""Operations that are linear in the weight, other than dense products and plain look-ups."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Num

from ..._linear_op import AbstractLookup, AbstractProduct


class Contract(AbstractProduct):
    """The product with a weight of three axes, (..., n, d) by (*plates, d, l, u)."""

    rank = 3

    def __call__(
        self, x: Num[Array, "*batch n d"], weight: Float[Array, "*plates d l u"]
    ) -> Float[Array, "*rest n l u"]:
        return jnp.einsum("...nd,...dlu->...nlu", x, weight)


class Categories(AbstractLookup):
    """Rows of the weight by index; indices with plates select within each plate."""

    def __call__(
        self, x: Integer[Array, "*batch n"], weight: Float[Array, "*plates c m"]
    ) -> Float[Array, "*rest n m"]:
        if x.ndim == 1:
            return jnp.take(weight, x, axis=-2)
        index = x[..., None]
        rank = max(index.ndim, weight.ndim)
        index, weight = (
            a.reshape((1,) * (rank - a.ndim) + a.shape) for a in (index, weight)
        )
        return jnp.take_along_axis(weight, index, axis=-2)


class Slopes(Categories):
    """Tables of the weight by index, of event shape (c, d, u)."""

    rank = 3

    def __call__(
        self, x: Integer[Array, "*batch n"], weight: Float[Array, "*plates c d u"]
    ) -> Float[Array, "*rest n d u"]:
        flat = weight.reshape((*weight.shape[:-2], -1))
        found = super().__call__(x, flat)
        return found.reshape((*found.shape[:-1], *weight.shape[-2:]))


class Embed(AbstractProduct):
    """Each column's number times its vector, (..., n, d) by (*plates, d, h)."""

    rank = 3

    def __call__(
        self, x: Num[Array, "*batch n d"], weight: Float[Array, "*plates d h"]
    ) -> Float[Array, "*rest n d h"]:
        return x[..., None] * weight[..., None, :, :]


class Heads(AbstractProduct):
    """The product of all tokens with each head's matrix, (..., n, d, h) by (a, h, k)."""

    rank = 4
    rank_in = 3

    def __call__(
        self, x: Num[Array, "*batch n d h"], weight: Float[Array, "*plates a h k"]
    ) -> Float[Array, "*rest n a d k"]:
        return jnp.einsum("...ndh,...ahk->...nadk", x, weight)
