"""Splines with a roughness penalty, in a basis in which they sample well."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float
from numpy.polynomial import legendre
from scipy.interpolate import BSpline
from scipy.linalg import solve_triangular

from ... import _checks
from ...basis._spline import checked_knots


class Penalized(NamedTuple):
    """A space of splines, split into the part that a penalty leaves free and the part it shrinks.

    Columns are coefficients of B-splines; means are taken over the knots' range.

    Args:
        polynomials: Legendre polynomials of degree below the penalty's order, 1 at the last knot.
        curves: Splines of mean square one, orthogonal to the polynomials and to each other,
            smoothest first.
        deviations: Their standard deviations under the penalty; the squares sum to one, so that
            curves drawn with them have mean variance one.
    """

    polynomials: Float[np.ndarray, "k o"]
    curves: Float[np.ndarray, "k c"]
    deviations: Float[np.ndarray, " c"]


def penalized(
    knots: ArrayLike | Sequence[float], degree: int, order: int, name: str = "knots"
) -> Penalized:
    """The splines of `knots` with a penalty on differences of the given order.

    Raises:
        ValueError: If the knots do not ascend, repeat too often inside, or are too few, or
            if `order` is above `degree` + 1.
    """
    degree = _checks.count("degree", degree)
    order = _checks.size("order", order)
    t = checked_knots(knots, degree, name)
    size = len(t) - degree - 1
    if order > degree + 1:
        raise ValueError(
            f"`order` must be at most `degree` + 1 = {degree + 1}, got {order}: splines have no "
            "more derivatives."
        )
    if size <= order:
        raise ValueError(
            f"`{name}` must make more than `order`={order} functions, got {size} from "
            f"{len(t)} knots of degree {degree}. Use more knots."
        )
    differences = _differences(t, degree, order, name)
    low, high = t[degree], t[size]
    points, weights = _quadrature(np.unique(np.clip(t, low, high)), degree + 1)
    design = BSpline(t, np.eye(size), degree)(points)
    gram = design.T @ (weights[:, None] * design)
    root = np.linalg.cholesky(gram).T
    rough = solve_triangular(root, differences.T, trans="T").T
    _, values, rows = np.linalg.svd(rough, full_matrices=False)
    curves = solve_triangular(root, rows[::-1].T)
    # LAPACK chooses the sign; fixing that of the last coefficient makes it reproducible.
    curves = curves * np.where(curves[-1] < 0, -1.0, 1.0)
    deviations = 1.0 / values[::-1]
    deviations = deviations / np.linalg.norm(deviations)
    at = (2.0 * points - low - high) / (high - low)
    wanted = legendre.legvander(at, order - 1)
    return Penalized(
        np.linalg.solve(gram, design.T @ (weights[:, None] * wanted)), curves, deviations
    )


def _quadrature(ends: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights, with sum one, that integrate products of two splines exactly."""
    points, weights = legendre.leggauss(count)
    widths = np.diff(ends)[:, None]
    at = ends[:-1, None] + 0.5 * widths * (points + 1.0)
    return at.ravel(), (0.5 * widths * weights / (ends[-1] - ends[0])).ravel()


def _differences(t: np.ndarray, degree: int, order: int, name: str) -> np.ndarray:
    """Divided differences of the coefficients.

    The first `degree` orders are the coefficients of the spline's derivatives. Distances are in
    units of the mean width of intervals: for equally spaced knots, these are plain differences.
    """
    size = len(t) - degree - 1
    inner = np.unique(t[degree : size + 1])
    step = (inner[-1] - inner[0]) / (len(inner) - 1)
    out = np.eye(size)
    for p in range(degree, degree - order, -1):
        # Distances of averages of the knots inside each function's support, or of midpoints.
        widths = (t[p + 1 : -1] - t[1 : -p - 1]) / p if p else 0.5 * (t[2:] - t[:-2])
        if (widths <= 0).any():
            raise ValueError(
                f"`{name}` must ascend with fewer repetitions inside, got {t.tolist()}: a spline "
                f"of degree {degree} that may jump there has no differences of order {order}."
            )
        out = np.diff(out, axis=0) * (step / widths)[:, None]
        t = t[1:-1]
    return out
