"""B-splines."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks


def make_knots(
    x: ArrayLike | Sequence[float], num_knots: int, degree: int = 3
) -> np.ndarray:
    r"""A clamped knot vector with interior knots at quantiles of data.

    The ends of the data are repeated `degree` + 1 times; between them are `num_knots` quantiles
    at equally spaced probabilities. The basis has ``num_knots + degree + 1`` functions.

    Args:
        x: Data of any shape; only their quantiles matter.
        num_knots: Number of interior knots, zero or more.
        degree: Degree of the splines, zero or more.

    Returns:
        The knots, (num_knots + 2 degree + 2,), in float64.

    Raises:
        ValueError: If a number is negative, if `x` is empty or not finite, if all data are
            equal, or if the quantiles repeat a value.
        TypeError: If a number is not an integer.

    Example:
        >>> make_knots([0.0, 1.0, 2.0], num_knots=1, degree=1).tolist()
        [0.0, 0.0, 1.0, 2.0, 2.0]

    References:
        de Boor (2001), "A practical guide to splines", chapter IX.
    """
    num_knots = _checks.count("num_knots", num_knots)
    degree = _checks.count("degree", degree)
    data = np.asarray(_checks.reals("x", x), float).ravel()
    if not data.size:
        raise ValueError("`x` must hold data, got an empty array.")
    _checks.no_nan("x", data)
    ends = data.min(), data.max()
    if ends[0] == ends[1]:
        raise ValueError(
            f"`x` must have at least two different values, got only {ends[0]}: there is no "
            "interval for the knots."
        )
    inner = np.quantile(data, np.linspace(0, 1, num_knots + 2)[1:-1])
    if len(np.unique([ends[0], *inner, ends[1]])) < num_knots + 2:
        raise ValueError(
            f"`num_knots`={num_knots} quantiles of `x` repeat a value: the data have ties. "
            "Use fewer knots, or write the knot vector yourself."
        )
    clamps = [np.full(degree + 1, end) for end in ends]
    return np.concatenate([clamps[0], inner, clamps[1]])


def bspline_basis(
    x: Num[ArrayLike, " n"],
    knots: ArrayLike | Sequence[float],
    degree: int = 3,
    *,
    extrapolate: Literal["linear", "constant", "error"] = "linear",
) -> Float[Array, "n m"]:
    r"""B-spline basis functions of a knot vector at given points.

    $$B_{i,0}(x) = 1_{t_i \le x < t_{i+1}}, \qquad
    B_{i,p}(x) = \frac{x - t_i}{t_{i+p} - t_i} B_{i,p-1}(x)
    + \frac{t_{i+p+1} - x}{t_{i+p+1} - t_{i+1}} B_{i+1,p-1}(x)$$

    Beyond the outer knots of a clamped vector, each function is extrapolated linearly by
    default, and so is a spline.

    Args:
        x: Points, (n,).
        knots: The knot vector, ascending, as returned by `make_knots`.
        degree: Degree $p$ of the splines, zero or more.
        extrapolate: Outside the knots, ``"linear"`` continues along the tangents,
            ``"constant"`` uses the values at the ends, and ``"error"`` raises an error (under
            `jit`, at run time).

    Returns:
        The functions' values, (n, len(knots) - degree - 1); rows sum to one.

    Raises:
        ValueError: If the knots are not ascending or too few, if `extrapolate` is unknown, or
            if it is ``"error"`` and points are outside the knots.
        TypeError: If `degree` is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> bspline_basis(jnp.array([0.5, 3.0]), make_knots([0.0, 2.0], 0, 1), 1).tolist()
        [[0.75, 0.25], [-0.5, 1.5]]

    References:
        de Boor (2001), "A practical guide to splines", chapter IX, equations 14 and 15.
    """
    _checks.one_of("extrapolate", extrapolate, ("linear", "constant", "error"))
    degree = _checks.count("degree", degree)
    t = checked_knots(knots, degree)
    x = jnp.asarray(x)
    x = x.astype(jnp.result_type(float, x.dtype))
    low, high = float(t[degree]), float(t[-degree - 1])
    if extrapolate == "error":
        x = _inside(x, low, high)
    within = jnp.clip(x, low, high)
    basis, slope = _cox_de_boor(within, t.astype(x.dtype), degree)
    if extrapolate == "constant":
        return basis
    return basis + (x - within)[:, None] * slope


def checked_knots(
    knots: ArrayLike | Sequence[float], degree: int, name: str = "knots"
) -> Float[np.ndarray, " k"]:
    """`knots` in double precision, after a check of their order and number."""
    if isinstance(knots, jax.core.Tracer):
        raise TypeError(f"`{name}` must be concrete values: create them outside `jit`.")
    t = np.asarray(_checks.reals(name, knots), np.float64)
    least = 2 * degree + 2
    is_row = t.ndim == 1 and len(t) >= least and np.isfinite(t).all()
    if not is_row or (np.diff(t) < 0).any() or t[degree] == t[-degree - 1]:
        raise ValueError(
            f"`{name}` must be ascending and have at least {least} entries for degree "
            f"{degree}, with a non-empty interior interval, got {t.tolist()}. `make_knots` "
            "computes them from data."
        )
    return t


def _inside(x: Array, low: float, high: float) -> Array:
    outside = (x < low) | (x > high)
    says = f"`x` must be within the knots, from {low} to {high}"
    if isinstance(x, jax.core.Tracer):
        return eqx.error_if(x, jnp.any(outside), f"{says} (`extrapolate` is 'error').")
    if bool(outside.any()):
        first = np.asarray(x)[np.asarray(outside)][0]
        raise ValueError(
            f"{says}, got {first}. Use `extrapolate='linear'` to continue along the tangents."
        )
    return x


def _cox_de_boor(x: Array, t: np.ndarray, degree: int) -> tuple[Array, Array]:
    """Values and first derivatives of the B-splines, (n, m) each."""
    x = x[:, None]
    # The last non-empty interval includes its right end.
    index = np.arange(len(t) - 1)
    last = index == np.flatnonzero(np.diff(t) > 0)[-1]
    b = ((x >= t[:-1]) & ((x < t[1:]) | (last & (x == t[1:])))).astype(x.dtype)
    slope = jnp.zeros_like(b)
    for p in range(1, degree + 1):
        m = len(t) - p - 1
        rise, fall = (_inverse(t[i + p : m + i + p] - t[i : m + i]) for i in (0, 1))
        slope = p * (rise * b[:, :m] - fall * b[:, 1 : m + 1])
        b = (x - t[:m]) * rise * b[:, :m] + (t[p + 1 :] - x) * fall * b[:, 1 : m + 1]
    return b, slope


def _inverse(width: np.ndarray) -> np.ndarray:
    """The reciprocals of the widths; zero for empty intervals."""
    return np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
