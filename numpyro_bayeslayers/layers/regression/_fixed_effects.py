"""Effects of categories under a prior that is not learned."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer

from ..._settings import setting
from ...handlers._gradient_estimator import normal_moments
from ...primitives import POSTERIOR, Site, linear, sample_site
from ._call import named, on_categories
from ._coefficient import BASE
from ._linear import AbstractFixedLayer
from ._op import Categories
from ._prior import STANDARD, Family, Keywords, Prior


def checked_contrast(name: str, value: Any) -> str | None:
    """Check that `value` is ``"sum"`` or None."""
    if value is None or (isinstance(value, str) and value == "sum"):
        return value
    raise ValueError(f"`{name}` must be None or 'sum', got {value!r}.")


class FixedEffectsLayer(AbstractFixedLayer):
    r"""An effect for each category, under a fixed prior.

    $$y_n = \beta_{x_n}, \qquad \beta_{cu} \sim \text{coef\_dist}$$

    and with ``contrast="sum"`` the same prior conditioned on $\sum_c \beta_{cu} = 0$:
    deviations from a mean that is another term of the model, drawn as $\beta = s\, Q b$ with
    standard normal b and orthonormal columns of Q that sum to zero. Each effect has variance
    $s^2 (1 - 1 / c)$.

    Call it as ``layer(name, x, num_categories, units=1)`` with integers `x` of shape (n,); the
    output has shape (n, units). If the categories are a sample of a population, use
    `RandomEffectsLayer`, which learns how much they differ.

    Args:
        coef_dist: Prior of the effects: a class, or a distribution; Normal with location zero
            if they sum to zero.
        coef_kwargs: Keywords of `coef_dist`.
        contrast: ``"sum"`` for effects that sum to zero.

    Sites:
        ``beta`` (c, u); with a contrast it is deterministic, with ``beta_base`` (c - 1, u).

    Raises:
        ValueError: If a keyword is unknown, missing or out of range; if a category is outside 0
            to `num_categories` - 1 (under `jit`, the compiled program raises); with a contrast,
            if there are fewer than two categories, or if the prior is not a Normal with
            location zero.
        TypeError: If the prior is not a distribution, or `x` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, trace
        >>> layer = FixedEffectsLayer(contrast="sum")
        >>> sites = trace(seed(layer, 0)).get_trace("drug", jnp.array([0, 2, 1]), 3)
        >>> bool(abs(sites["drug.beta"]["value"].sum()) < 1e-6)
        True

    References:
        Gelman and Hill (2007), "Data analysis using regression and multilevel/hierarchical
        models", section 12.3 (the alternative).
    """

    contrast: str | None = setting(check=checked_contrast)

    def __init__(
        self,
        coef_dist: Family = dist.Normal,
        coef_kwargs: Keywords = STANDARD,
        contrast: str | None = None,
    ) -> None:
        super().__init__(coef_dist, coef_kwargs)
        self.contrast = contrast

    def __check_init__(self) -> None:
        if self.contrast is not None:
            zero_sum_prior(self.coef_prior, "coef_dist")

    @named
    def __call__(
        self,
        name: str,
        x: Integer[ArrayLike, "..."],
        num_categories: int,
        units: int = 1,
    ) -> Float[Array, "*batch n u"]:
        def rows(index: Array) -> Array:
            beta = self._effects(num_categories, units)
            return linear(index, beta, op=Categories())

        return on_categories(rows, x, num_categories)

    def _effects(self, count: int, units: int) -> Site:
        if self.contrast is None:
            return sample_site("beta", self.coef_prior.over((count, units)))
        if count < 2:
            raise ValueError(
                f"`num_categories` must be at least 2 for effects that sum to zero, got {count}."
            )
        base = sample_site("beta" + BASE, self.coef_prior.over((count - 1, units)))
        own: Any = zero_sum(base.value)
        value: Any = numpyro.deterministic("beta", own)
        moments = normal_moments(base) if value is own else None
        guide = None
        if moments is not None:
            mean, var = zero_sum(moments[0]), zero_sum(moments[1] ** 2, is_squared=True)
            guide = dist.Normal(mean, var**0.5)
        infer = {**base.infer, POSTERIOR: guide}
        return Site(value, base.name.removesuffix(BASE), 2, infer)


def zero_sum_prior(prior: Prior, name: str) -> None:
    """Check that `prior` can be used for effects that sum to zero."""
    law: Any = prior.ready or prior.family(**prior.settings)
    if not isinstance(law, dist.Normal) or np.any(np.asarray(law.loc) != 0):
        raise ValueError(
            f"`{name}` must be Normal of location zero for effects that sum to zero, got {prior}."
        )


def zero_sum(
    z: Float[ArrayLike, "*plates k u"], *, is_squared: bool = False
) -> Float[Array, "*plates c u"]:
    r"""The combination of orthonormal columns that sum to zero, c = k + 1: Helmert contrasts.

    Column k has $1 / \sqrt{k (k + 1)}$ in its first k entries and $-k$ times that in the next. The
    matrix is not formed: sums from the end take its place.

    Args:
        z: The coefficients of the columns.
        is_squared: Whether to combine the squares of the columns, for variances.
    """
    z = jnp.asarray(z)
    k = np.arange(1, z.shape[-2] + 1)[:, None]
    power = 2 if is_squared else 1
    scaled = z * ((k * (k + 1.0)) ** (-0.5 * power)).astype(z.dtype)
    after = jax.lax.cumsum(scaled, z.ndim - 2, reverse=True)
    at = scaled * ((-k.astype(float)) ** power).astype(z.dtype)
    pad = [(0, 0)] * (z.ndim - 2)
    return jnp.pad(after, [*pad, (0, 1), (0, 0)]) + jnp.pad(at, [*pad, (1, 0), (0, 0)])
