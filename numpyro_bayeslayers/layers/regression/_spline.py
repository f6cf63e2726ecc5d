"""A smooth effect of one number."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, ArrayLike, Float, Num

from ...basis import bspline_basis
from ...primitives import linear
from ._call import Activation, identity, named, on_columns
from ._coefficient import as_drawn
from ._walk import AbstractWalkLayer


class SplineLayer(AbstractWalkLayer):
    r"""A smooth effect of one number: B-splines whose coefficients are a random walk.

    $$y_n = a\Big(\sum_k B_k(x_n)\,\theta_k\Big), \qquad
    \theta_k = \theta_{k-1} + \delta_k, \quad
    \delta_k \sim \text{coef\_dist}(\text{scale} = \lambda), \quad
    \lambda \sim \text{scale\_dist}$$

    with $\theta_0 = 0$: the data determine how close neighboring coefficients are (a Bayesian
    P-spline). The walk shrinks the level at the first knot toward zero: add an
    `InterceptLayer`. Call it as
    ``layer(name, x, knots, units=1, degree=3, activation=identity)`` with `x` of shape (n,) or
    (n, 1) and the knots of `basis.make_knots`; the output has shape (n, units). Units share the
    scale. Beyond the knots the effect continues as a straight line.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all arguments not listed here.
        centered: As in `RandomWalkLayer`.

    Sites:
        ``scale`` (); ``delta_base`` (k, u); deterministic ``delta`` (k, u), the steps, and
        ``theta`` (k, u), the coefficients.

    Raises:
        ValueError: As `AdaptiveLayer`, if the knots do not ascend or are too few, or if `x`
            has several columns.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.basis import make_knots
        >>> x = jnp.linspace(0, 1, 5)
        >>> seed(SplineLayer(), 0)("age", x, make_knots(x, 3)).shape
        (5, 1)

    References:
        Lang and Brezger (2004), "Bayesian P-splines", Journal of Computational and Graphical
        Statistics 13, section 2.1.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        knots: ArrayLike | Sequence[float],
        units: int = 1,
        degree: int = 3,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array) -> Array:
            basis = spline_rows(x, knots, degree)
            walk = self._walk((basis.shape[-1], units), self._scale((), rank=2))
            # A row is a sum of points of the walk, which are dependent under the guide.
            return linear(basis, as_drawn(walk))

        return activation(on_columns(rows, x))


def spline_rows(
    x: Array,
    knots: ArrayLike | Sequence[float],
    degree: int,
    extrapolate: Any = "linear",
) -> Float[Array, "*plates n k"]:
    """The B-splines at rows of one column, (*plates, n, 1)."""
    if x.shape[-1] != 1:
        raise ValueError(
            f"`x` must be one column, (n,) or (n, 1), got {x.shape[-1]} columns. Call "
            "a layer for each column, and add the results."
        )
    basis = bspline_basis(x.reshape(-1), knots, degree, extrapolate=extrapolate)
    return basis.reshape(x.shape[:-1] + basis.shape[-1:])
