"""Coefficients with a learned scale, and how they are drawn.

Eleven layers share this: a scale, drawn once for each unit, and an array of coefficients
around it. A layer adds its formula.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array

from ... import _checks
from ..._centering import sample_around
from ..._settings import setting
from ...handlers._gradient_estimator import normal_moments
from ...primitives import POSTERIOR, NewGroups, Site, sample, sample_site
from ._prior import UNIT_SCALE, ZERO_LOC, Family, Keywords, Prior, check_spreads, spread

BASE = "_base"


def checked_centering(name: str, value: Any) -> bool | float:
    """Check that `value` is a Boolean or a number from zero to one."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    what = f"`{name}` must be True, False or a number from 0 to 1, got {value!r}."
    try:
        number = _checks.non_negative(name, value)
    except (TypeError, ValueError):
        raise ValueError(what) from None
    if isinstance(number, float) and number > 1:
        raise ValueError(what)
    return number


class AbstractAdaptiveLayer(eqx.Module):
    r"""Draws a scale, and coefficients of that scale.

    $$\lambda_u \sim \text{scale\_dist}, \qquad
    \beta_{iu} \sim \text{coef\_dist}(\cdot, \text{scale} = \lambda_u)$$

    Args:
        scale_dist: Prior of the scale: a class of positive support, or a distribution.
        coef_dist: Prior of the coefficients: a class that takes the drawn scale as `scale`, or
            a distribution, whose scale is then multiplied by the drawn one.
        coef_kwargs: Keywords of `coef_dist` other than `scale`.
        scale_kwargs: Keywords of `scale_dist`.
        centered: Parametrization of the coefficients, which does not change their distribution.
            False (0) draws standardized coefficients, then shifts and scales them; True (1)
            draws the coefficients directly; a number between 0 and 1 interpolates: see `draw`.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range, if a scale could be
            negative, if `centered` is not between 0 and 1.
        TypeError: If `scale_dist` or `coef_dist` is not a distribution.
    """

    coef_prior: Prior = eqx.field(static=True)
    scale_prior: Prior = eqx.field(static=True)
    centered: bool | float = setting(check=checked_centering)

    def __init__(
        self,
        scale_dist: Family = dist.HalfNormal,
        coef_dist: Family = dist.Normal,
        coef_kwargs: Keywords = ZERO_LOC,
        scale_kwargs: Keywords = UNIT_SCALE,
        centered: bool | float = False,
    ) -> None:
        self.scale_prior = Prior("scale", scale_dist, scale_kwargs, UNIT_SCALE, False)
        self.coef_prior = Prior("coef", coef_dist, coef_kwargs, ZERO_LOC, True)
        self.centered = centered

    def _scale(self, shape: tuple[int, ...], rank: int, name: str = "scale") -> Array:
        """Draw the scale, aligned with coefficients of event rank `rank`."""
        return sample(name, self.scale_prior.over(shape), rank)

    def _coefficients(self, name: str, shape: tuple[int, ...], scale: Array) -> Site:
        """Draw the coefficients with a scale that is aligned with them."""
        return draw(name, self.coef_prior, shape, scale, self.centered)

    def _beside(self, fitted: Site, name: str, new: NewGroups, scale: Array) -> Site:
        """The coefficients, followed by those of new groups, for which there are no data.

        Args:
            fitted: The coefficients, groups first.
            name: Their name; ``{name}_new`` are those of new groups.
            new: The new groups.
            scale: The scale, aligned with the coefficients.
        """
        event = fitted.value.shape[-fitted.event_dim :]
        law = self.coef_prior.over(
            (new.count, *event[1:]), scale=self.coef_prior.factor * scale
        )
        if new.law == "draw":
            others = sample_site(name + "_new", law).value
        elif self.coef_prior.is_location_scale:
            # The median, which also exists where the distribution has no mean.
            others = jnp.broadcast_to(self.coef_prior.loc, law.shape())
        else:
            others = jnp.broadcast_to(law.mean, law.shape())
        plates = jnp.broadcast_shapes(
            *(x.shape[: x.ndim - len(event)] for x in (fitted.value, others))
        )
        both = [
            jnp.broadcast_to(x, plates + x.shape[x.ndim - len(event) :])
            for x in (fitted.value, others)
        ]
        value = jnp.concatenate(both, axis=-len(event))
        return as_drawn(fitted._replace(value=value))


def draw(
    name: str, prior: Prior, shape: tuple[int, ...], scale: Array, centered: bool | float
) -> Site:
    r"""Draw the site `name` of event shape `shape` at a scale, in the given parametrization.

    With the location $m$, the scale $s$ and $c$ for `centered`, the site ``{name}_base`` is
    drawn and `name` follows from it,

    $$b \sim F(c\,m,\; s^c), \qquad \beta = m + s^{1 - c}\,(b - c\,m)$$

    so that $\beta \sim F(m, s)$ for every $c$. At $c = 1$, and for families that are not
    location-scale families, $\beta$ is drawn directly and there is no base.

    If the guide's distribution of $b$ is normal, the returned `Site` carries that of $\beta$
    given the scale, so that gradient estimators act on the product with $\beta$. A value
    substituted for `name` (`substitute`) is used.
    """
    c = float(centered)
    scale = prior.factor * scale
    if not prior.is_location_scale:
        return sample_site(name, prior.over(shape, scale=scale))
    loc = prior.loc
    check_spreads(jnp.shape(loc), shape)
    law = lambda loc, scale: prior.over(shape, loc=loc, scale=scale)
    own = name if c == 1.0 else name + BASE
    base = sample_around(name, own, law, loc, scale, c)
    if c == 1.0:
        return base
    factor = scale ** (1.0 - c)
    computed: Array = loc + factor * (base.value - c * loc)
    value: Any = numpyro.deterministic(name, computed)
    moments = normal_moments(base) if value is computed else None
    guide = None
    if moments is not None:
        guide = dist.Normal(loc + factor * (moments[0] - c * loc), factor * moments[1])
    infer = {**base.infer, POSTERIOR: guide}
    return Site(value, base.name.removesuffix(BASE), len(shape), infer)


def draw_components(
    name: str, shape: tuple[int, ...], scale: Array, centered: bool | float = False
) -> tuple[Site, Array]:
    """Draw the normal components of `name` at a scale, as ``{name}_base``.

    Also return their multiplier: the scale to the power of one minus `centered`.
    """
    law = lambda loc, scale: spread(dist.Normal(loc, scale), shape)
    c = float(centered)
    return sample_around(name, name + BASE, law, 0.0, scale, c), scale ** (1.0 - c)


def as_drawn(site: Site) -> Site:
    """A weight for which gradient estimators may not draw outputs independently.

    They report that they skipped it. This applies where entries of the weight are dependent
    under the guide, or where several outputs of one row share a draw.
    """
    return site._replace(infer={**site.infer, POSTERIOR: None})
