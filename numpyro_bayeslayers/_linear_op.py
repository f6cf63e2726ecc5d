"""Operations that are linear in a weight, and what gradient estimators must know of them."""

import abc

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Num


class AbstractLinearOp(abc.ABC):
    """An operation that is linear in its weight, as gradient estimators must know it."""

    #: Axes of the output that are not plates: rows (and space) and features.
    rank: int = 2
    #: Axes of the input that are not plates.
    rank_in: int = 2
    #: Whether the input is made of numbers (rather than indices), so that it may be masked.
    is_dense: bool = True
    #: Whether one row uses a weight in several places (tokens, pixels), so that noise drawn
    #: for each output would not be noise of the weight.
    is_shared: bool = False

    @property
    def exact(self) -> "AbstractLinearOp":
        """The operation without what a handler has put around it: what kind it is."""
        return self

    @abc.abstractmethod
    def __call__(self, x: Array, weight: Array) -> Array:
        """Apply the weight, (*plates, *event), to `x`."""

    @abc.abstractmethod
    def square(self, x: Array) -> Array:
        """The input for which `self(square(x), var)` is the variance of the output."""

    @abc.abstractmethod
    def flip(self, x: Array, signs: Array) -> Array:
        """`x` with the sign of each contribution flipped."""

    def signs_in(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the signs for an input of `shape`: one axis for each that they differ in."""
        return shape

    def signs_out(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the signs for an output of `shape`."""
        return shape


class AbstractProduct(AbstractLinearOp):
    """Sums of products: each number of the input times entries of the weight."""

    def square(self, x: Array) -> Array:
        return jnp.square(x)

    def flip(self, x: Array, signs: Array) -> Array:
        return x * signs


class AbstractLookup(AbstractLinearOp):
    """Entries of the weight by index: the product with one-hot rows, without making them."""

    is_dense = False

    def square(self, x: Array) -> Array:
        return x  # ones and zeros are their own squares

    def flip(self, x: Array, signs: Array) -> Array:
        return x  # one term each: the output's sign is all there is


class Dense(AbstractProduct):
    """The matrix product of rows and weight, (..., n, in) by (*plates, in, out)."""

    def __call__(
        self, x: Num[Array, "*batch d_in"], weight: Float[Array, "*plates d_in d_out"]
    ) -> Float[Array, "*rest d_out"]:
        return jnp.matmul(x, weight)


class DenseVector(Dense):
    """The product of rows and a weight of event shape (in,), to one output."""

    def __call__(
        self, x: Num[Array, "*batch d_in"], weight: Float[Array, "*plates d_in"]
    ) -> Float[Array, "*rest 1"]:
        return jnp.matmul(x, weight[..., None])


class Lookup(AbstractLookup):
    """Rows of the weight by index."""

    def __call__(
        self, x: Integer[Array, " n"], weight: Float[Array, "*plates categories d_out"]
    ) -> Float[Array, "*plates n d_out"]:
        return jnp.take(weight, x, axis=-2)
