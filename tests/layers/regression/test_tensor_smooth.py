"""Smooth surfaces: the fit against the dense penalized one, trends, scales, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute
from scipy.interpolate import BSpline

from numpyro_bayeslayers.layers import TensorSmoothLayer

from .draws import run

RNG = np.random.default_rng(0)
FIRST, SECOND = np.arange(-3.0, 8.0), np.arange(-3.0, 7.0) / 3.0  # 7 and 6 functions
X = np.stack([RNG.uniform(0, 4, 60), RNG.uniform(0, 1, 60)], 1)
SCALES = 0.8, 0.3


def jacobian(x, order=2):
    """The surface as a linear map of its base, and of its trend."""

    def surface(base, trend):
        data = {"a.scale": jnp.array(SCALES)[:, None], "a.theta_base": base[:, None]}
        model = substitute(TensorSmoothLayer(), data=data | {"a.trend": trend[:, None]})
        return seed(model, 0)("a", x, (FIRST, SECOND), order=order)[:, 0]

    with jax.enable_x64(True):
        at = np.zeros(42 - order**2), np.zeros(order**2 - 1)
        return [np.asarray(m) for m in jax.jit(jax.jacobian(surface, (0, 1)))(*at)]


def margin(knots):
    """Penalty, Gram matrix and the mean variance of its curves off straight lines."""
    size, low, high = len(knots) - 4, knots[3], knots[-4]
    fine = np.linspace(low, high, 4001)[:-1] + (high - low) / 8000
    b = BSpline(knots, np.eye(size), 3)(fine)
    penalty = np.diff(np.eye(size), 2, axis=0)
    penalty = penalty.T @ penalty
    lines = np.vander(fine, 2)
    free = b - lines @ np.linalg.lstsq(lines, b, rcond=None)[0]
    mean = np.mean(np.einsum("ni,ij,nj->n", free, np.linalg.pinv(penalty), free))
    return penalty, b.T @ b / len(fine), mean


def test_the_fit_is_the_penalized_one():
    """Flat priors of level and trend: the mode is that of the two penalties' sum."""
    noise = 0.2
    y = np.sin(X[:, 0]) * X[:, 1] + noise * RNG.normal(size=60)
    curve, trend = jacobian(X)
    columns = np.concatenate([curve, trend, np.ones((60, 1))], 1)
    ridge = np.diag([1.0] * 38 + [1e-9] * 4)
    mode = np.linalg.solve(columns.T @ columns / noise**2 + ridge, columns.T @ y / noise**2)
    (s1, g1, k1), (s2, g2, k2) = margin(FIRST), margin(SECOND)
    penalty = k1 / SCALES[0] ** 2 * np.kron(s1, g2) + k2 / SCALES[1] ** 2 * np.kron(g1, s2)
    b1, b2 = (
        BSpline(t, np.eye(len(t) - 4), 3)(X[:, i]) for i, t in enumerate((FIRST, SECOND))
    )
    b = np.einsum("nj,nk->njk", b1, b2).reshape(60, 42)
    theta = np.linalg.solve(b.T @ b / noise**2 + penalty, b.T @ y / noise**2)
    np.testing.assert_allclose(columns @ mode, b @ theta, atol=1e-4)
    legendre = (X - [2.0, 0.5]) / [2.0, 0.5]
    expected = [legendre[:, 1], legendre[:, 0], legendre[:, 0] * legendre[:, 1]]
    np.testing.assert_allclose(trend.T, expected, atol=1e-8)


def test_sites_and_functions_with_equal_steps():
    x = np.array([[-1.0, 0.3], [0.5, 1.0], [0.0, 0.0]])
    out, v, sites = run(TensorSmoothLayer(), x, num_basis=(5, 4), units=2)
    assert list(sites) == ["a.scale", "a.trend", "a.theta_base", "a.theta"]
    assert v["scale"].shape == (2, 2) and v["trend"].shape == (3, 2)
    knots = [-1 + np.arange(-3, m + 4) * (2.0 / m) for m in (2, 1)]
    both = [BSpline(t, np.eye(len(t) - 4), 3)(x[:, i]) for i, t in enumerate(knots)]
    expected = np.einsum("nj,nk,jku->nu", *both, v["theta"].reshape(5, 4, 2))
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("as_users_run")
def test_rows_outside_of_the_square_are_reported():
    with pytest.warns(UserWarning, match="leaves the square from -1 to 1.* 1 of 2 rows"):
        seed(TensorSmoothLayer(), 0)("a", np.array([[0.0, 0.5], [0.0, 1.5]]), num_basis=4)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({}, ValueError, "either `knots` or `num_basis`"),
        ({"knots": (FIRST, SECOND), "num_basis": 5}, ValueError, "either `knots`"),
        ({"knots": FIRST}, ValueError, "`knots` must be two"),
        ({"knots": (FIRST, SECOND[::-1])}, ValueError, "`knots` must be ascending"),
        ({"num_basis": (5, 6, 7)}, ValueError, "`num_basis` must be two"),
        ({"num_basis": 3}, ValueError, "`num_basis` must be above `degree`=3"),
        ({"num_basis": 3195}, ValueError, "`num_basis` may give at most 16384"),
        ({"num_basis": 5.5}, TypeError, "`num_basis` must be"),
        ({"num_basis": 5, "order": 5}, ValueError, "`order` must be at most"),
    ],
)
def test_errors(options, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        TensorSmoothLayer()("a", X, **options)
    with pytest.raises(ValueError, match="`x` must have two columns"), seed(rng_seed=0):
        TensorSmoothLayer()("a", X[:, :1], num_basis=4)
