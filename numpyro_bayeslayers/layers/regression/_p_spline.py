"""A smooth effect of one number, with a penalty on its roughness."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ...primitives import Site, linear, sample
from ._call import Activation, identity, named, on_columns
from ._coefficient import BASE, AbstractAdaptiveLayer, as_drawn, draw_components
from ._penalized import Penalized, penalized
from ._prior import STANDARD, UNIT_SCALE, ZERO_LOC, Family, Keywords, Prior
from ._spline import spline_rows


class PSplineLayer(AbstractAdaptiveLayer):
    r"""A smooth effect of one number: B-splines with a penalty on differences of coefficients.

    $$y_n = a\Big(\sum_k B_k(x_n)\,\theta_k\Big), \qquad
    p(\theta \mid \lambda, \tau) \propto \exp\Big(-\frac{\kappa}{2 \lambda^2}
    \lVert \Delta^m \theta \rVert^2\Big)\, p(\tau), \quad
    \lambda \sim \text{scale\_dist}, \quad \tau \sim \text{trend\_dist}$$

    with differences $\Delta^m$ of order $m$. They do not penalize polynomials of degree below
    $m$, which have the coefficients $\tau_1 \dots \tau_{m - 1}$ of Legendre polynomials, so
    that $\tau_1$ is the rise of a straight line from the middle of the knots' range to its end.
    The constant is omitted: the effect has mean zero over the range, so add an
    `InterceptLayer`. The deviation from the polynomials is orthogonal to them, and $\kappa$
    makes $\lambda$ its root mean square over the range, for any number of knots. Where knots
    are not equally spaced, differences are divided by their distances, so that a straight line
    has zero second differences.

    Call it as ``layer(name, x, knots, units=1, degree=3, order=2, activation=identity)`` with
    `x` of shape (n,) or (n, 1) and the knots of `basis.make_knots`; the output has shape (n,
    units). Use twenty knots or more, which cost little: the penalty, not their number,
    determines how smooth the effect is.

    The curve is drawn in its principal components, as in `RandomWalkLayer`, which removes most
    posterior correlations.

    Args:
        scale_dist: Prior of $\lambda$, as in `AdaptiveLayer`.
        trend_dist: Prior of $\tau$: a class, or a distribution.
        trend_kwargs: Keywords of `trend_dist`, if it is a class.
        scale_kwargs: The keywords of `scale_dist`.
        centered: False for weak data, True for strong data, or a number between 0 and 1, as in
            `RandomWalkLayer`.
        extrapolate: Beyond the knots, ``"constant"`` keeps the value at the end, ``"linear"``
            continues along the tangent, ``"error"`` raises for such rows.

    Sites:
        ``scale`` (u,); ``trend`` (m - 1, u), unless the order is 1; ``theta_base``
        (k - m, u); deterministic ``theta`` (k, u), the coefficients of the B-splines.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range; if the knots do not
            ascend or are too few, or `order` is above `degree` + 1; if `x` has several columns.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.basis import make_knots
        >>> x = jnp.linspace(0, 1, 50)
        >>> seed(PSplineLayer(), 0)("age", x, make_knots(x, 20)).shape
        (50, 1)

    References:
        Eilers and Marx (1996), "Flexible smoothing with B-splines and penalties", Statistical
        Science 11, section 3; Li and Cao (2022), "General P-splines for non-uniform B-splines",
        arXiv 2201.06808, section 2 (the differences); Sørbye and Rue (2014), "Scaling intrinsic
        Gaussian Markov random field priors in spatial modelling", Spatial Statistics 8.
    """

    trend_prior: Prior = eqx.field(static=True)
    extrapolate: str = setting(check=_checks.choice("constant", "linear", "error"))

    def __init__(
        self,
        scale_dist: Family = dist.HalfNormal,
        trend_dist: Family = dist.Normal,
        trend_kwargs: Keywords = STANDARD,
        scale_kwargs: Keywords = UNIT_SCALE,
        centered: bool | float = False,
        extrapolate: str = "constant",
    ) -> None:
        super().__init__(scale_dist, dist.Normal, ZERO_LOC, scale_kwargs, centered)
        self.trend_prior = Prior("trend", trend_dist, trend_kwargs, STANDARD, False)
        self.extrapolate = extrapolate

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        knots: ArrayLike | Sequence[float],
        units: int = 1,
        degree: int = 3,
        order: int = 2,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        parts = penalized(knots, degree, order)

        def rows(x: Array) -> Array:
            basis = spline_rows(x, knots, degree, self.extrapolate)
            return linear(basis, self._spline(parts, units))

        return activation(on_columns(rows, x))

    def _spline(self, parts: Penalized, units: int) -> Site:
        scale = self._scale((units,), rank=2)
        trends, count = parts.polynomials.shape[1] - 1, len(parts.deviations)
        own: Any = 0.0
        if trends:
            trend = sample("trend", self.trend_prior.over((trends, units)), rank=2)
            own = jnp.asarray(parts.polynomials[:, 1:], trend.dtype) @ trend
        base, factor = draw_components("theta", (count, units), scale, self.centered)
        curves = (parts.curves * parts.deviations).astype(base.value.dtype)
        own = own + factor * (curves @ base.value)
        value: Any = numpyro.deterministic("theta", own)
        # A row is a sum of coefficients that are dependent under the guide.
        return as_drawn(Site(value, base.name.removesuffix(BASE), 2, base.infer))
