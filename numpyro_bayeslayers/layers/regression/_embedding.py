"""Effects of categories."""

from jaxtyping import Array, ArrayLike, Float, Integer

from ...primitives import NewGroups, linear
from ._call import named, on_groups
from ._coefficient import AbstractAdaptiveLayer
from ._op import Categories


class EmbeddingLayer(AbstractAdaptiveLayer):
    r"""A vector for each category.

    $$y_n = \theta_{x_n}, \qquad \lambda \sim \text{scale\_dist}, \quad
    \theta_{cm} \sim \text{coef\_dist}(\text{scale} = \lambda)$$

    Call it as ``layer(name, x, num_categories, embedding_dim)`` with integers `x` of shape
    (n,); the output has shape (n, embedding_dim), also for a single row.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (); ``theta`` (c, m), deterministic with its ``theta_base`` unless
        `centered`. In predictions for new levels: ``theta_new`` (k, m).

    Raises:
        ValueError: As `AdaptiveLayer`, and if a category is outside 0 to `num_categories` - 1.
            Under `jit`, where categories are unknown when the program is traced, the compiled
            program raises (`equinox.error_if`); nothing is clamped.
        TypeError: If `x` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> x = jnp.array([0, 2, 2])
        >>> seed(EmbeddingLayer(), 0)("shop", x, num_categories=3, embedding_dim=4).shape
        (3, 4)
    """

    @named
    def __call__(
        self,
        name: str,
        x: Integer[ArrayLike, "..."],
        num_categories: int,
        embedding_dim: int,
    ) -> Float[Array, "*batch n m"]:
        return look_up(self, x, num_categories, embedding_dim)


class RandomEffectsLayer(AbstractAdaptiveLayer):
    r"""A number for each category: varying intercepts.

    $$y_n = \theta_{x_n}, \qquad \lambda \sim \text{scale\_dist}, \quad
    \theta_c \sim \text{coef\_dist}(\text{scale} = \lambda)$$

    Call it as ``layer(name, x, num_categories)`` with integers `x` of shape (n,); the output
    has shape (n, 1). For crossed effects, call it twice; for nested effects, also call it
    twice, with one category for each pair in the inner call.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (); ``theta`` (c, 1), deterministic with its ``theta_base`` unless
        `centered`. In predictions for new levels: ``theta_new`` (k, 1).

    Raises:
        ValueError: As `AdaptiveLayer`, and if a category is outside 0 to `num_categories` - 1.
            Under `jit`, where categories are unknown when the program is traced, the compiled
            program raises (`equinox.error_if`); nothing is clamped.
        TypeError: If `x` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(RandomEffectsLayer(), 0)("school", jnp.array([0, 2, 2]), 3).shape
        (3, 1)

    References:
        Gelman and Hill (2007), "Data analysis using regression and multilevel/hierarchical
        models", section 12.2.
    """

    @named
    def __call__(
        self, name: str, x: Integer[ArrayLike, "..."], num_categories: int
    ) -> Float[Array, "*batch n 1"]:
        return look_up(self, x, num_categories, 1)


def look_up(
    layer: AbstractAdaptiveLayer, x: ArrayLike, num_categories: int, embedding_dim: int
) -> Array:
    """Draw a table with one scale and look up the rows `x`."""

    def rows(index: Array, new: NewGroups | None) -> Array:
        scale = layer._scale((), rank=2)
        theta = layer._coefficients("theta", (num_categories, embedding_dim), scale)
        if new is not None:
            theta = layer._beside(theta, "theta", new, scale)
        return linear(index, theta, op=Categories())

    return on_groups(rows, x, num_categories)
