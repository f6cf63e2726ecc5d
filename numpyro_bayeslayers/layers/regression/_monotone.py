"""Monotone effects of ordered categories."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer

from ... import _checks
from ..._settings import setting
from ...handlers._gradient_estimator import normal_moments
from ...primitives import POSTERIOR, linear, sample_site
from ._call import Activation, identity, named, on_categories
from ._coefficient import AbstractAdaptiveLayer
from ._op import Categories
from ._prior import UNIT_SCALE, ZERO_LOC, Family, Keywords


class MonotoneLayer(AbstractAdaptiveLayer):
    r"""A monotone effect of ordered categories: all steps of a unit have the same sign.

    $$y_n = a\Big(\beta D \sum_{i \le x_n} \zeta_i\Big), \qquad
    \zeta \sim \text{Dirichlet}(\alpha, \dots, \alpha), \quad
    \beta \sim \text{coef\_dist}(\text{scale} = \lambda), \quad
    \lambda \sim \text{scale\_dist}$$

    with $D$ = `num_categories` - 1 steps. $\beta$ is the mean step, $\zeta_i$ the share of
    the step to category $i$; the effect of category 0 is zero. Call it as
    ``layer(name, x, num_categories, units=1, activation=identity)`` with integers `x` of
    shape (n,); the output has shape (n, units).

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all arguments not listed here.
        concentration: Concentration $\alpha$ of the shares, positive. At 1 the shares are
            uniform on the simplex; above 1, steps of equal size are more likely.

    Sites:
        ``scale`` (u,); ``beta`` (1, u), deterministic with its ``beta_base`` unless
        `centered`; ``zeta`` (u, D), whose rows sum to one.

    Raises:
        ValueError: As `AdaptiveLayer`, and if there are fewer than two categories, or if one is
            outside 0 to `num_categories` - 1. Under `jit`, where categories are unknown when
            the program is traced, the compiled program raises (`equinox.error_if`).
        TypeError: If `x` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(MonotoneLayer(), 0)("grade", jnp.array([0, 4, 2]), 5).shape
        (3, 1)

    References:
        Bürkner and Charpentier (2020), "Modelling monotonic effects of ordinal predictors in
        Bayesian regression models", British Journal of Mathematical and Statistical
        Psychology 73, section 2.
    """

    concentration: float = setting(check=_checks.positive)

    def __init__(
        self,
        scale_dist: Family = dist.HalfNormal,
        coef_dist: Family = dist.Normal,
        coef_kwargs: Keywords = ZERO_LOC,
        scale_kwargs: Keywords = UNIT_SCALE,
        centered: bool | float = False,
        concentration: float = 1.0,
    ) -> None:
        super().__init__(scale_dist, coef_dist, coef_kwargs, scale_kwargs, centered)
        self.concentration = concentration

    @named
    def __call__(
        self,
        name: str,
        x: Integer[ArrayLike, "..."],
        num_categories: int,
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        if num_categories < 2:
            raise ValueError(
                f"`num_categories` must be at least 2, got {num_categories}: there is no step."
            )

        def rows(index: Array) -> Array:
            beta = self._coefficients("beta", (1, units), self._scale((units,), rank=2))
            heights = self._heights(num_categories, units)
            infer: dict[str, Any] = dict(beta.infer)
            moments = normal_moments(beta)
            if moments is not None:
                guide = dist.Normal(moments[0] * heights, moments[1] * heights)
                infer[POSTERIOR] = guide
            effects = beta._replace(value=beta.value * heights, infer=infer)
            return linear(index, effects, op=Categories())

        return activation(on_categories(rows, x, num_categories))

    def _heights(self, num_categories: int, units: int) -> Array:
        """Draw the shares; return the effect of each category at a mean step of one, (c, u)."""
        steps = num_categories - 1
        prior = dist.Dirichlet(jnp.full((steps,), self.concentration))
        zeta = sample_site("zeta", prior.expand((units,)).to_event(1)).value
        heights = steps * jnp.cumsum(jnp.swapaxes(zeta, -1, -2), -2)
        return jnp.concatenate([jnp.zeros_like(heights[..., :1, :]), heights], -2)
