"""Trends and seasons that change over time: structural time series."""

import functools
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer

from ... import _checks
from ..._settings import setting
from ...primitives import Site, linear, sample, sample_site
from ._call import named, on_categories
from ._canonical import canonical
from ._coefficient import BASE, AbstractAdaptiveLayer, as_drawn, draw_components
from ._fixed_effects import zero_sum, zero_sum_prior
from ._op import Categories
from ._prior import STANDARD, UNIT_SCALE, ZERO_LOC, Family, Keywords, Prior

# : A slope changes less from one time to the next than a level does.
SLOW: Keywords = MappingProxyType({"scale": 0.1})


class LocalTrendLayer(AbstractAdaptiveLayer):
    r"""A local linear trend of structural time series: level and slope are random walks.

    $$y_n = \mu_{t_n}, \qquad \mu_t = \mu_{t-1} + \nu_{t-1} + \lambda\, \varepsilon_t, \quad
    \nu_t = \nu_{t-1} + \lambda_\nu\, \zeta_t, \quad \varepsilon_t, \zeta_t \sim N(0, 1), \quad
    \mu_0 = 0, \quad \nu_0 \sim \text{slope\_dist}$$

    for each unit. The level at the first time is zero: add an `InterceptLayer`. Call it as
    ``layer(name, t, num_times, units=1)`` with integers `t` of shape (n,), counted from 0; the
    output has shape (n, units). Effects of times without rows are drawn given the others, so
    forecasts are rows of later times, which `num_times` must include from the start.

    Steps are drawn in the principal components of the resulting walks, as in `RandomWalkLayer`,
    which removes most posterior correlations. The components cost `num_times`² products.

    Args:
        scale_dist: Prior of the level's scale $\lambda$, as in `AdaptiveLayer`.
        slope_scale_dist: Prior of the slope's scale $\lambda_\nu$, as `scale_dist`: how much
            the slope changes from one time to the next.
        slope_dist: Prior of the first slope $\nu_0$, per time step: a class, or a distribution.
        scale_kwargs: The keywords of `scale_dist`.
        slope_scale_kwargs: Keywords of `slope_scale_dist`; the default scale is a tenth of that
            of the level.
        slope_kwargs: The keywords of `slope_dist`.

    Sites:
        ``scale``, ``slope_scale``, ``slope_start`` (u,); ``level_base``, ``slope_base``
        (c - 1, u); deterministic ``level`` and ``slope`` (c, u).

    Raises:
        ValueError: If a keyword is unknown, missing or out of range; if there are fewer than
            two times; if a time is outside 0 to `num_times` - 1. Under `jit`, where times are
            unknown when the program is traced, the compiled program raises.
        TypeError: If `t` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(LocalTrendLayer(), 0)("month", jnp.array([0, 1, 1, 35]), 36).shape
        (4, 1)

    References:
        Harvey (1989), "Forecasting, structural time series models and the Kalman filter",
        section 2.3.2, equations 2.3.18.
    """

    slope_scale_prior: Prior = eqx.field(static=True)
    slope_prior: Prior = eqx.field(static=True)

    def __init__(
        self,
        scale_dist: Family = dist.HalfNormal,
        slope_scale_dist: Family = dist.HalfNormal,
        slope_dist: Family = dist.Normal,
        scale_kwargs: Keywords = UNIT_SCALE,
        slope_scale_kwargs: Keywords = SLOW,
        slope_kwargs: Keywords = STANDARD,
    ) -> None:
        super().__init__(scale_dist, dist.Normal, ZERO_LOC, scale_kwargs, False)
        self.slope_scale_prior = Prior(
            "slope_scale", slope_scale_dist, slope_scale_kwargs, SLOW, False
        )
        self.slope_prior = Prior("slope", slope_dist, slope_kwargs, STANDARD, False)

    @named
    def __call__(
        self, name: str, t: Integer[ArrayLike, "..."], num_times: int, units: int = 1
    ) -> Float[Array, "*batch n u"]:
        _at_least(num_times, 2, "level and slope have no step")

        def rows(index: Array) -> Array:
            return linear(index, self._level(num_times, units), op=Categories())

        return on_categories(rows, t, num_times, name="t")

    def _level(self, num_times: int, units: int) -> Site:
        scale = self._scale((units,), rank=2)
        slope_scale = sample("slope_scale", self.slope_scale_prior.over((units,)), rank=2)
        start = sample("slope_start", self.slope_prior.over((units,)), rank=2)
        shape = num_times - 1, units
        base, factor = draw_components("level", shape, scale)
        changes, change = draw_components("slope", shape, slope_scale)
        level, slope, integral = (
            m.astype(base.value.dtype) for m in _trend_maps(num_times)
        )
        time = jnp.arange(num_times, dtype=start.dtype)[:, None]
        own: Any = start * time + factor * (level @ base.value)
        own = own + change * (integral @ changes.value)
        value: Any = numpyro.deterministic("level", own)
        slopes: Any = start + change * (slope @ changes.value)
        numpyro.deterministic("slope", slopes)
        # Entries share draws.
        return as_drawn(Site(value, base.name.removesuffix(BASE), 2, base.infer))


class SeasonalStateLayer(AbstractAdaptiveLayer):
    r"""A season that changes from one period to the next.

    $$y_n = \theta_{t_n}, \qquad \theta_t = -\sum_{j=1}^{p - 1} \theta_{t - j} + \lambda\,
    \omega_t, \quad \omega_t \sim N(0, 1), \quad \lambda \sim \text{scale\_dist}$$

    for each unit: the sum of any $p$ consecutive times has mean zero and standard deviation
    $\lambda$, and at $\lambda = 0$ the season repeats exactly. It starts from the pattern
    $s\, Q b$ with standard normal b and orthonormal columns of Q that sum to zero, as effects
    of `FixedEffectsLayer` with ``contrast="sum"``. Call it as
    ``layer(name, t, num_times, units=1)`` with integers `t` of shape (n,), counted from 0; the
    output has shape (n, units). Forecasts are rows of later times, which `num_times` must
    include from the start. For a season that does not change, use `SeasonalEffectsLayer`.

    The noise is drawn in the principal components of the resulting seasons, as in
    `RandomWalkLayer`, at the cost of `num_times`² products.

    Args:
        period: Number of times $p$ in a period, at least 2.
        scale_dist: Prior of $\lambda$, as in `AdaptiveLayer`.
        start_dist: Prior of the first pattern: Normal with location zero and scale $s$.
        start_kwargs: Keywords of `start_dist`, if it is a class.
        scale_kwargs: The keywords of `scale_dist`.

    Sites:
        ``scale`` (u,); ``start_base`` (p - 1, u); ``theta_base`` (c - p + 1, u);
        deterministic ``start`` (p, u) and ``theta`` (c, u).

    Raises:
        ValueError: If a keyword is unknown, missing or out of range; if `period` is below 2 or
            above `num_times`; if the prior of the start is not normal with location zero; if a
            time is outside 0 to `num_times` - 1. Under `jit`, where times are unknown when the
            program is traced, the compiled program raises.
        TypeError: If `t` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(SeasonalStateLayer(period=12), 0)("month", jnp.array([0, 1, 35]), 36).shape
        (3, 1)

    References:
        Harvey (1989), "Forecasting, structural time series models and the Kalman filter",
        section 2.3.4, equation 2.3.35.
    """

    period: int = setting(check=_checks.size)
    start_prior: Prior = eqx.field(static=True)

    def __init__(
        self,
        period: int,
        scale_dist: Family = dist.HalfNormal,
        start_dist: Family = dist.Normal,
        start_kwargs: Keywords = STANDARD,
        scale_kwargs: Keywords = UNIT_SCALE,
    ) -> None:
        super().__init__(scale_dist, dist.Normal, ZERO_LOC, scale_kwargs, False)
        self.period = period
        self.start_prior = Prior("start", start_dist, start_kwargs, STANDARD, False)

    def __check_init__(self) -> None:
        if self.period < 2:
            raise ValueError(f"`period` must be at least 2, got {self.period}.")
        zero_sum_prior(self.start_prior, "start_dist")

    @named
    def __call__(
        self, name: str, t: Integer[ArrayLike, "..."], num_times: int, units: int = 1
    ) -> Float[Array, "*batch n u"]:
        _at_least(num_times, self.period, f"a period has {self.period} times")

        def rows(index: Array) -> Array:
            return linear(index, self._season(num_times, units), op=Categories())

        return on_categories(rows, t, num_times, name="t")

    def _season(self, num_times: int, units: int) -> Site:
        p = self.period
        scale = self._scale((units,), rank=2)
        first = sample_site("start" + BASE, self.start_prior.over((p - 1, units))).value
        start = jnp.asarray(numpyro.deterministic("start", zero_sum(first)))
        shape = num_times - p + 1, units
        base, factor = draw_components("theta", shape, scale)
        own: Any = jnp.take(start, np.arange(num_times) % p, axis=-2)
        own = own + factor * (_season_map(num_times, p).astype(own.dtype) @ base.value)
        value: Any = numpyro.deterministic("theta", own)
        return as_drawn(Site(value, base.name.removesuffix(BASE), 2, base.infer))


def _at_least(num_times: int, least: int, why: str) -> None:
    if num_times < least:
        raise ValueError(f"`num_times` must be at least {least}, got {num_times}: {why}.")


@functools.lru_cache(maxsize=8)
def _trend_maps(num_times: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps from standard normal components to the level's walk, the slope's, and its integral."""
    walk = np.tril(np.ones((num_times, num_times)), -1)
    integral = walk @ walk[:, :-1]
    turn = _components(integral)
    return walk[:, :-1] @ _components(walk[:, :-1]), walk[:, :-1] @ turn, integral @ turn


@functools.lru_cache(maxsize=8)
def _season_map(num_times: int, period: int) -> np.ndarray:
    """Map from standard normal components to the contribution of the noise.

    The noise starts at time `period` - 1. A shock raises the effect at its own time of each
    later period, and lowers the effect at the next time.
    """
    lag = np.subtract.outer(np.arange(num_times), np.arange(period - 1, num_times))
    signs = (lag % period == 0) * 1.0 - (lag % period == 1)
    own = np.where(lag >= 0, signs, 0.0)
    return own @ _components(own)


def _components(own: np.ndarray) -> np.ndarray:
    """An orthogonal matrix whose columns `own` maps to orthogonal vectors."""
    _, values, rows = np.linalg.svd(own)
    return canonical(values[::-1], rows[::-1].T)
