"""Random walks, drawn in a basis in which they sample well."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array

from ..._centering import sample_around
from ...handlers._gradient_estimator import normal_moments
from ...primitives import POSTERIOR, Site
from ._coefficient import BASE, AbstractAdaptiveLayer


class AbstractWalkLayer(AbstractAdaptiveLayer):
    """A layer whose coefficients are a random walk over an ordered index."""

    def _walk(self, shape: tuple[int, ...], scale: Array) -> Site:
        """The walk, with the guide's moments of each point, for look-ups of single points."""
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
        law = lambda loc, scale: prior.over(shape, loc=loc, scale=scale)
        base = sample_around("delta", "delta" + BASE, law, 0.0, scale, c)
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
    r"""An orthogonal matrix of steps whose walks are also orthogonal.

    $$V_{tk} = \frac{2}{\sqrt{2T + 1}} \cos\frac{(2t - 1)(2k - 1)\pi}{2(2T + 1)},
    \qquad t, k = 1 \dots T$$

    The cumulative sums of its columns are the principal components of a walk, in order:
    $\sum_t t$-th sums of column $k$ have the length
    $1 / (2 \sin\frac{(2k - 1)\pi}{2 (2T + 1)})$.
    """
    odd = 2.0 * np.arange(1, num_steps + 1) - 1.0
    size = 2.0 * num_steps + 1.0
    return 2.0 / np.sqrt(size) * np.cos(np.outer(odd, odd) * (np.pi / (2.0 * size)))
