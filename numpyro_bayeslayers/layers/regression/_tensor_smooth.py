"""A smooth surface over two numbers, with a penalty along each of them."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ...basis import pairwise_interactions
from ...primitives import Site, linear, sample, when_known
from ._call import Activation, identity, named, on_columns
from ._coefficient import BASE, AbstractAdaptiveLayer, as_drawn, draw_components
from ._penalized import Penalized, penalized
from ._prior import STANDARD, UNIT_SCALE, ZERO_LOC, Family, Keywords, Prior
from ._spline import spline_rows

# The largest number of products of functions along both numbers: a matrix of 2 GiB.
_MOST = 2**14


class TensorSmoothLayer(AbstractAdaptiveLayer):
    r"""A smooth surface over two numbers: products of B-splines, penalized along each.

    $$y_n = a\Big(\sum_{jk} B_j(x_{n1})\, C_k(x_{n2})\, \theta_{jk}\Big), \qquad
    p(\theta \mid \lambda) \propto \exp\Big(-\frac{1}{2}\, \theta^\top \Big(
    \frac{\kappa_1}{\lambda_1^2}\, S_1 \otimes G_2 + \frac{\kappa_2}{\lambda_2^2}\, G_1 \otimes
    S_2\Big) \theta\Big)$$

    with the penalty $S = \Delta^\top \Delta$ of `PSplineLayer` along one number, the mean
    products $G$ of its B-splines, and a scale $\lambda$ along each number, so that the units of
    the numbers do not matter: $\kappa$ makes $\lambda$ the standard deviation of a surface that
    varies along that number only. Polynomials of degree below $m$ in both numbers are not
    penalized; they are products of Legendre polynomials that are 1 at both last knots, and
    their coefficients have the prior `trend_dist`. The constant is omitted: the surface has
    mean zero over the knots' rectangle, so add an `InterceptLayer`.

    Call it as ``layer(name, x, knots, units=1, degree=3, order=2, activation=identity)`` with
    `x` of shape (n, 2) and two vectors of knots, or with ``num_basis=``, the number of
    B-splines along each column (one number, or two), equally spaced from -1 to 1; `x` must then
    be scaled to this range. The output has shape (n, units). With k functions in total, the
    layer costs k² products.

    Args:
        scale_dist: Prior of the two scales, as in `AdaptiveLayer`.
        trend_dist: Prior of the polynomials' coefficients: a class, or a distribution.
        trend_kwargs: Keywords of `trend_dist`, if it is a class.
        scale_kwargs: The keywords of `scale_dist`.
        centered: False for weak data, True for strong data, or a number between 0 and 1, as in
            `RandomWalkLayer`.
        extrapolate: Beyond the knots, ``"constant"`` keeps the value at the edge, ``"linear"``
            continues along the tangents, ``"error"`` raises for such rows.

    Sites:
        ``scale`` (2, u); ``trend`` (m² - 1, u), unless the order is 1, in the order
        $(0, 1), \dots, (1, 0), (1, 1), \dots$ of degrees; ``theta_base`` (k - m², u);
        deterministic ``theta`` (k, u), in which the second number's functions vary fastest.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range; if the knots do not
            ascend or are too few; if both or neither of `knots` and `num_basis` are given; if
            `num_basis` gives more than 16,384 products; if
            `order` is above `degree` + 1; if `x` does not have two columns.

    Warns:
        UserWarning: If rows lie outside -1 to 1 and knots are not given.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> x = jnp.linspace(-1, 1, 20).reshape(10, 2)
        >>> seed(TensorSmoothLayer(), 0)("place", x, num_basis=6).shape
        (10, 1)

    References:
        Wood (2006), "Low-rank scale-invariant tensor product smooths for generalized additive
        mixed models", Biometrics 62, section 3.
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
        knots: Sequence[Any] | None = None,
        units: int = 1,
        degree: int = 3,
        order: int = 2,
        activation: Activation = identity,
        *,
        num_basis: int | Sequence[int] | None = None,
    ) -> Float[Array, "*batch n u"]:
        if (knots is None) == (num_basis is None):
            raise ValueError("Give either `knots` or `num_basis`, got both or neither.")
        degree = _checks.count("degree", degree)
        both = _pair("knots", knots) if knots is not None else _equal(num_basis, degree)
        parts = tuple(penalized(t, degree, order) for t in both)

        def rows(x: Array) -> Array:
            if x.shape[-1] != 2:
                raise ValueError(f"`x` must have two columns, got shape {x.shape}.")
            if knots is None:
                when_known(x, _warn_outside)
            bases = [
                spline_rows(x[..., i : i + 1], t, degree, self.extrapolate)
                for i, t in enumerate(both)
            ]
            return linear(pairwise_interactions(*bases), self._surface(parts, units))

        return activation(on_columns(rows, x))

    def _surface(self, parts: tuple[Penalized, ...], units: int) -> Site:
        scale = self._scale((2, units), rank=2)
        bases, rough = zip(*(_orthonormal(part) for part in parts), strict=True)
        functions = np.kron(*bases)
        first, second = (a.ravel()[:, None] for a in np.meshgrid(*rough, indexing="ij"))
        is_free = (first + second == 0.0)[:, 0]
        own: Any = 0.0
        if is_free.sum() > 1:
            trend = sample(
                "trend", self.trend_prior.over((int(is_free.sum()) - 1, units)), rank=2
            )
            lines = np.kron(*(part.polynomials for part in parts))[:, 1:]
            own = lines.astype(trend.dtype) @ trend
        first, second, curves = (
            a.astype(scale.dtype)
            for a in (first[~is_free], second[~is_free], functions[:, ~is_free])
        )
        deviation = 1.0 / jnp.hypot(first / scale[..., :1, :], second / scale[..., 1:, :])
        shape = int((~is_free).sum()), units
        base, factor = draw_components("theta", shape, deviation, self.centered)
        own = own + curves @ (factor * base.value)
        value: Any = numpyro.deterministic("theta", own)
        return as_drawn(Site(value, base.name.removesuffix(BASE), 2, base.infer))


def _orthonormal(part: Penalized) -> tuple[np.ndarray, np.ndarray]:
    """Functions of mean square one along one number, and the roughness of each."""
    order = part.polynomials.shape[1]
    lines = part.polynomials * np.sqrt(2.0 * np.arange(order) + 1.0)
    rough = np.concatenate([np.zeros(order), 1.0 / part.deviations])
    return np.concatenate([lines, part.curves], axis=1), rough


def _pair(name: str, values: Any) -> tuple[Any, Any]:
    if isinstance(values, (str, int)) or not hasattr(values, "__len__") or len(values) != 2:
        raise ValueError(
            f"`{name}` must be two, one for each column of `x`, got {values!r}."
        )
    return values[0], values[1]


def _equal(num_basis: Any, degree: int) -> tuple[np.ndarray, ...]:
    """Equally spaced knots that give `num_basis` functions on -1 to 1."""
    is_one = np.ndim(num_basis) == 0
    both = (num_basis, num_basis) if is_one else _pair("num_basis", num_basis)
    sizes = [_checks.size("num_basis", size) for size in both]
    if math.prod(sizes) > _MOST:
        raise ValueError(
            f"`num_basis` may give at most {_MOST} products of functions, whose matrix is square, "
            f"got {math.prod(sizes)}. Use fewer functions."
        )
    out = []
    for size in sizes:
        intervals = size - degree
        if intervals < 1:
            raise ValueError(
                f"`num_basis` must be above `degree`={degree}, got {size}: it takes as many "
                "functions and one more to cover one interval."
            )
        steps = np.arange(-degree, intervals + degree + 1)
        out.append(-1.0 + steps * (2.0 / intervals))
    return tuple(out)


def _warn_outside(x: np.ndarray, of: str) -> None:
    is_outside = (np.abs(x) > 1.0).any(axis=-1)
    if is_outside.any():
        _checks.warn(
            f"`x`{of} leaves the square from -1 to 1, on which `num_basis` puts its functions: "
            f"{int(is_outside.sum())} of {is_outside.size} rows lie outside. Scale the columns, or "
            "give `knots`."
        )
