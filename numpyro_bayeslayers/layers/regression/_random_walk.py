"""A random walk over ordered categories, drawn in the basis in which it samples well."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer

from ...handlers._estimator import normal_moments
from ...primitives import POSTERIOR, Site, linear, sample_site
from ._call import named, on_categories
from ._coefficient import BASE, AbstractAdaptiveLayer
from ._op import Categories


class RandomWalkLayer(AbstractAdaptiveLayer):
    r"""An effect for each of many ordered categories, near that of the category before.

    $$y_n = \theta_{x_n}, \qquad \theta_t = \sum_{s \le t} \delta_s, \quad
    \delta_{tm} \sim \text{coef\_dist}(\text{scale} = \lambda), \quad
    \lambda \sim \text{scale\_dist}$$

    For steps without drift, of variance $\lambda^2$, the variance of $\theta_t$ is
    $t \lambda^2$, $t$ counted from one. Call it as
    ``layer(name, x, num_categories, embedding_dim=1)`` with integers `x` of shape (n,), the
    times; the output has shape (n, embedding_dim).

    Normal steps are drawn as ``delta_base`` in another orthonormal basis, $\delta = \mu +
    \lambda V b$ with cosines of growing frequency in the columns of $V$ (the walk's
    principal components). The law is that of independent steps. The posterior of $b$ has
    little correlation, that of the steps has much: plain steps make NUTS take many more
    leapfrog steps and diverge, see the page on regression. The basis costs
    `num_categories`² products.

    Args:
        scale_dist: As in `AdaptiveLayer`, with all other arguments but one.
        centered: False for weak data, True for strong (many rows for each time), or a number
            between: the base is drawn at the scale $\lambda^c$ and then multiplied by
            $\lambda^{1 - c}$. Steps that are not normal have no other basis: True draws
            ``delta`` itself.

    Sites:
        ``scale`` (); ``delta_base`` (c, m); deterministic ``delta`` (c, m), the steps, and
        ``theta`` (c, m), the walk.

    Raises:
        ValueError: As `AdaptiveLayer`, and if a category is outside of 0 to
            `num_categories` - 1. Under `jit`, where categories are not known beforehand, the
            running program raises (`equinox.error_if`); nothing is clamped.
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

    def _walk(self, shape: tuple[int, ...], scale: Array) -> Site:
        """The walk, with the guide's moments of each of its points."""
        is_scalar = np.ndim(self.coef_prior.factor) == 0
        if self.coef_prior.family is dist.Normal and is_scalar:
            steps, mean, var = self._rotated_steps(shape, scale)
        else:
            steps = self._coefficients("delta", shape, scale)
            moments = normal_moments(steps)
            mean, var = (None, None) if moments is None else moments
            if mean is not None and var is not None:
                mean, var = jnp.cumsum(mean, -2), jnp.cumsum(jnp.square(var), -2)
        own = jnp.cumsum(steps.value, -2)
        value: Any = numpyro.deterministic("theta", own)
        is_known = mean is not None and var is not None and value is own
        guide = dist.Normal(mean, jnp.sqrt(var)) if is_known else None
        name = steps.name.removesuffix("delta") + "theta"
        return Site(value, name, 2, {**steps.infer, POSTERIOR: guide})

    def _rotated_steps(
        self, shape: tuple[int, ...], scale: Array
    ) -> tuple[Site, Array | None, Array | None]:
        """The steps, and the guide's mean and variance of the walk, given the scale."""
        prior, c = self.coef_prior, float(self.centered)
        scale = prior.factor * scale
        base = sample_site("delta" + BASE, prior.over(shape, loc=0.0, scale=scale**c))
        rotation = walk_basis(shape[0]).astype(base.value.dtype)
        factor = scale ** (1.0 - c)
        own = prior.loc + factor * (rotation @ base.value)
        value: Any = numpyro.deterministic("delta", own)
        site = Site(value, base.name.removesuffix(BASE), 2, base.infer)
        moments = normal_moments(base) if value is own else None
        if moments is None:
            return site, None, None
        mean = jnp.cumsum(prior.loc + factor * (rotation @ moments[0]), -2)
        walks = jnp.square(jnp.cumsum(rotation, 0))
        return site, mean, jnp.square(factor) * (walks @ jnp.square(moments[1]))


def walk_basis(num_steps: int) -> np.ndarray:
    r"""An orthogonal matrix of steps, whose walks are orthogonal too.

    $$V_{tk} = \frac{2}{\sqrt{2T + 1}} \cos\frac{(2t - 1)(2k - 1)\pi}{2(2T + 1)},
    \qquad t, k = 1 \dots T$$

    The cumulative sums of its columns are the right order of principal components of a
    walk: $\sum_t t$-th sums of column $k$ have the length $1 / (2 \sin\frac{(2k - 1)\pi}{2
    (2T + 1)})$.
    """
    odd = 2.0 * np.arange(1, num_steps + 1) - 1.0
    size = 2.0 * num_steps + 1.0
    return 2.0 / np.sqrt(size) * np.cos(np.outer(odd, odd) * (np.pi / (2.0 * size)))
