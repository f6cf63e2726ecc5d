"""Periodic effects."""

from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import on_rows
from ...basis import seasonal_features
from ...primitives import linear
from ._call import Activation, identity, named
from ._coefficient import AbstractAdaptiveLayer


class SeasonalEffectsLayer(AbstractAdaptiveLayer):
    r"""A periodic function of time: a Fourier series with random coefficients.

    $$y = a\Big(\sum_{h=1}^{H} \beta_h \cos\frac{2\pi h x}{\tau}
    + \beta_{H + h} \sin\frac{2\pi h x}{\tau}\Big)$$

    with one scale for each unit. Call it as
    ``layer(name, x, period, num_harmonics, units=1, activation=identity)`` with times `x` of
    shape (n,); the output has shape (n, units). For several periods, call it once for each.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (u,); ``beta`` (2 H, u), deterministic with its ``beta_base`` unless
        `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`, and if `period` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> x = jnp.arange(5)
        >>> seed(SeasonalEffectsLayer(), 0)("week", x, period=7.0, num_harmonics=3).shape
        (5, 1)

    References:
        Harvey and Shephard (1993), "Structural time series models", Handbook of Statistics
        11, section 2.3; Taylor and Letham (2018), "Forecasting at scale", The American
        Statistician 72, section 3.2.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        period: float,
        num_harmonics: int,
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        period = _checks.positive("period", period)
        waves = seasonal_features(_checks.reals("x", x), [float(period)], [num_harmonics])

        def rows(waves: Array) -> Array:
            scale = self._scale((units,), rank=2)
            return linear(
                waves, self._coefficients("beta", (2 * num_harmonics, units), scale)
            )

        return activation(on_rows(rows, waves, waves.shape[-1]))
