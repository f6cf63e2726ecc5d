"""Stationary effects of times on a grid."""

from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer

from ...primitives import Site, linear, sample, sample_site
from ._call import named, on_categories
from ._coefficient import BASE, AbstractAdaptiveLayer, as_drawn
from ._op import Categories
from ._prior import UNIT_SCALE, ZERO_LOC, Family, Keywords, Prior, spread, within_unit

#: Persistence is more likely positive than negative, and may be near one.
PERSISTENCE: Keywords = MappingProxyType({"concentration1": 3.0, "concentration0": 1.5})


class AR1Layer(AbstractAdaptiveLayer):
    r"""An effect for each time of a grid that reverts to zero: an autoregression of order one.

    $$y_n = \theta_{t_n}, \qquad \theta_1 = \lambda b_1, \quad
    \theta_t = \phi\, \theta_{t-1} + \lambda \sqrt{1 - \phi^2}\; b_t, \qquad
    b_t \sim N(0, 1), \quad \phi = 2 p - 1, \quad p \sim \text{persistence\_dist}$$

    for each unit, so that $\text{cov}(\theta_s, \theta_t) = \lambda^2 \phi^{|s - t|}$: the
    scale is the standard deviation at every time. Call it as
    ``layer(name, t, num_times, units=1)`` with integers `t` of shape (n,), counted from 0; the
    output has shape (n, units). Effects of times without rows are drawn given the others, so
    forecasts are rows of later times, which `num_times` must include from the start. For an
    effect that does not revert to zero, use `RandomWalkLayer`.

    Args:
        scale_dist: Prior of the scale $\lambda$, as in `AdaptiveLayer`.
        persistence_dist: Prior of $p$ from 0 to 1: a class, or a distribution. By default
            Beta(3, 1.5): $\phi$ has mean one third, and is above 0.9 with probability 0.05.
        persistence_kwargs: Keywords of `persistence_dist`, if it is a class.
        scale_kwargs: The keywords of `scale_dist`.

    Sites:
        ``scale`` (u,); ``persistence`` (u,), which is $p$; ``theta_base`` (c, u);
        deterministic ``theta`` (c, u).

    Raises:
        ValueError: If a keyword is unknown, missing or out of range; if the support of the
            persistence exceeds 0 to 1; if a time is outside 0 to `num_times` - 1. Under `jit`,
            where times are unknown when the program is traced, the compiled program raises.
        TypeError: If `t` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(AR1Layer(), 0)("week", jnp.array([0, 1, 1, 51]), 52).shape
        (4, 1)

    References:
        Hamilton (1994), "Time series analysis", section 3.4, equation 3.4.1.
    """

    persistence_prior: Prior = eqx.field(static=True)

    def __init__(
        self,
        scale_dist: Family = dist.HalfNormal,
        persistence_dist: Family = dist.Beta,
        persistence_kwargs: Keywords = PERSISTENCE,
        scale_kwargs: Keywords = UNIT_SCALE,
    ) -> None:
        super().__init__(scale_dist, dist.Normal, ZERO_LOC, scale_kwargs, False)
        prior = Prior(
            "persistence", persistence_dist, persistence_kwargs, PERSISTENCE, False
        )
        self.persistence_prior = within_unit(prior, "persistence_dist")

    @named
    def __call__(
        self, name: str, t: Integer[ArrayLike, "..."], num_times: int, units: int = 1
    ) -> Float[Array, "*batch n u"]:
        def rows(index: Array) -> Array:
            return linear(index, self._effects(num_times, units), op=Categories())

        return on_categories(rows, t, num_times, name="t")

    def _effects(self, num_times: int, units: int) -> Site:
        scale = self._scale((units,), rank=2)
        p = sample("persistence", self.persistence_prior.over((units,)), rank=2)
        base = sample_site(
            "theta" + BASE, spread(dist.Normal(0.0, 1.0), (num_times, units))
        )
        phi = 2 * p - 1
        # The first has the stationary deviation, the others that of their innovation.
        new = 2 * jnp.sqrt(p * (1 - p)) * base.value
        new = new.at[..., 0, :].set(base.value[..., 0, :])
        factors = jnp.broadcast_to(phi, new.shape)
        _, walk = jax.lax.associative_scan(_then, (factors, new), axis=-2)
        value: Any = numpyro.deterministic("theta", scale * walk)
        return as_drawn(Site(value, base.name.removesuffix(BASE), 2, base.infer))


def _then(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
    """Compose two steps x -> a x + b."""
    return first[0] * second[0], second[0] * first[1] + second[1]
