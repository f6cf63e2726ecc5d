"""A random walk over ordered categories."""

from jaxtyping import Array, ArrayLike, Float, Integer

from ...primitives import linear
from ._call import named, on_categories
from ._op import Categories
from ._walk import AbstractWalkLayer


class RandomWalkLayer(AbstractWalkLayer):
    r"""A random walk: the effect of each ordered category is near that of the previous one.

    $$y_n = \theta_{x_n}, \qquad \theta_t = \sum_{s \le t} \delta_s, \quad
    \delta_{tm} \sim \text{coef\_dist}(\text{scale} = \lambda), \quad
    \lambda \sim \text{scale\_dist}$$

    For steps without drift and with variance $\lambda^2$, the variance of $\theta_t$ is
    $t \lambda^2$, with $t$ counted from one. Call it as
    ``layer(name, x, num_categories, embedding_dim=1)`` with integers `x` of shape (n,), the
    times; the output has shape (n, embedding_dim).

    Normal steps are drawn as ``delta_base`` in another orthonormal basis,
    $\delta = \mu + \lambda V b$ with cosines of growing frequency in the columns of $V$ (the
    walk's principal components). This has the distribution of independent steps. The posterior
    of $b$ has little correlation, whereas that of the steps has much: with plain steps, NUTS
    takes many more leapfrog steps and diverges, see the page on regression. The basis costs
    `num_categories`² products.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all arguments not listed here.
        centered: False for weak data, True for strong data (many rows for each time), or a
            number $c$ between 0 and 1: the base is drawn at the scale $\lambda^c$ and then
            multiplied by $\lambda^{1 - c}$. Steps that are not normal are not rotated: True
            draws ``delta`` directly.

    Sites:
        ``scale`` (); ``delta_base`` (c, m); deterministic ``delta`` (c, m), the steps, and
        ``theta`` (c, m), the walk.

    Raises:
        ValueError: As `AdaptiveLayer`, and if a category is outside 0 to `num_categories` - 1.
            Under `jit`, where categories are unknown when the program is traced, the compiled
            program raises (`equinox.error_if`); nothing is clamped.
        TypeError: If `x` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(RandomWalkLayer(), 0)("week", jnp.arange(5), 52).shape
        (5, 1)

    References:
        Rue and Held (2005), "Gaussian Markov random fields", section 3.3.1 (the walk);
        Papaspiliopoulos, Roberts, Sköld (2007), "A general framework for the
        parametrization of hierarchical models", Statistical Science 22, section 2.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Integer[ArrayLike, "..."],
        num_categories: int,
        embedding_dim: int = 1,
    ) -> Float[Array, "*batch n m"]:
        def rows(index: Array) -> Array:
            scale = self._scale((), rank=2)
            theta = self._walk((num_categories, embedding_dim), scale)
            return linear(index, theta, op=Categories())

        return on_categories(rows, x, num_categories)
