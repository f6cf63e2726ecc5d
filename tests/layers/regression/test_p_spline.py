"""Penalized splines: their prior and their fit against SciPy's design and dense algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy.interpolate import BSpline

from numpyro_bayeslayers.basis import make_knots
from numpyro_bayeslayers.handlers import recenter
from numpyro_bayeslayers.layers import PSplineLayer

from .draws import run

RNG = np.random.default_rng(0)
X = RNG.uniform(0.0, 6.0, 40)
EQUAL = np.arange(-3.0, 10.0)  # nine functions on 0 to 6, every difference plain
UNEVEN = make_knots(RNG.gamma(2.0, size=100), 7)


def jacobian(knots, x, degree=3, order=2, scale=1.0, centered=False):
    """The curve as a linear map of its base, and of its trend."""
    layer = PSplineLayer(centered=centered)

    def curve(base, trend):
        data = {"a.scale": jnp.array([scale]), "a.theta_base": base[:, None]}
        model = substitute(layer, data=data | {"a.trend": trend[:, None]})
        return seed(model, 0)("a", x, knots, 1, degree, order)[:, 0]

    with jax.enable_x64(True):
        sizes = len(knots) - degree - 1 - order, order - 1
        maps = jax.jit(jax.jacobian(curve, (0, 1)))(*(np.zeros(s) for s in sizes))
        return tuple(np.asarray(m) for m in maps)


def design(knots, x, degree=3):
    return BSpline(knots, np.eye(len(knots) - degree - 1), degree)(x)


def covariance(x, order):
    """Of the curve: the penalty's generalized inverse, off polynomials, of mean variance one."""
    fine = np.linspace(0.0, 6.0, 6001)[:-1] + 5e-4
    b, at_x = design(EQUAL, fine), design(EQUAL, x)
    rough = np.diff(np.eye(9), order, axis=0)
    inverse = np.linalg.pinv(rough.T @ rough)
    lines = np.vander(fine, order)
    fit = lambda curve: np.linalg.lstsq(lines, curve, rcond=None)[0]
    free, at_x = b - lines @ fit(b), at_x - np.vander(x, order) @ fit(b)
    mean = np.mean(np.einsum("ni,ij,nj->n", free, inverse, free))
    return at_x @ inverse @ at_x.T / mean


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_prior_is_that_of_plain_differences_at_equal_steps(order):
    curve, _ = jacobian(EQUAL, X, order=order, scale=1.5)
    np.testing.assert_allclose(
        curve @ curve.T, 1.5**2 * covariance(X, order), rtol=1e-4, atol=1e-5
    )


def test_the_fit_is_the_penalized_one():
    """Flat priors of level and trend: the mode is Eilers and Marx's solution."""
    y = np.sin(X) + 0.3 * RNG.normal(size=40)
    noise, scale = 0.3, 0.7
    curve, trend = jacobian(EQUAL, X, scale=scale)
    columns = np.concatenate([curve, trend, np.ones((40, 1))], 1)
    ridge = np.diag([1.0] * 7 + [1e-9] * 2)
    mode = np.linalg.solve(columns.T @ columns / noise**2 + ridge, columns.T @ y / noise**2)
    b, rough = design(EQUAL, X), np.diff(np.eye(9), 2, axis=0)
    # Every second difference of the coefficients has the variance that is one over the weight.
    second = rough @ np.linalg.pinv(b) @ curve
    np.testing.assert_allclose(
        second @ second.T, np.eye(7) * np.sum(second[0] ** 2), atol=1e-5
    )
    weight = 1.0 / np.sum(second[0] ** 2)
    theta = np.linalg.solve(
        b.T @ b / noise**2 + weight * rough.T @ rough, b.T @ y / noise**2
    )
    np.testing.assert_allclose(columns @ mode, b @ theta, atol=1e-5)


@pytest.mark.parametrize(("degree", "order"), [(3, 2), (3, 3), (2, 3), (1, 2)])
def test_uneven_knots_leave_polynomials_free(degree, order):
    """The trend is Legendre's, the curve orthogonal to it and of mean variance one."""
    knots = make_knots(UNEVEN, 0, degree)
    knots = np.concatenate([knots[: degree + 1], UNEVEN[4:-4], knots[degree + 1 :]])
    ends = np.unique(knots)
    points, weights = np.polynomial.legendre.leggauss(6)
    x = (ends[:-1, None] + np.diff(ends)[:, None] * (points + 1) / 2).ravel()
    w = (np.diff(ends)[:, None] * weights / 2).ravel() / (ends[-1] - ends[0])
    curve, trend = jacobian(knots, x, degree, order, scale=2.0)
    at = (2 * x - ends[0] - ends[-1]) / (ends[-1] - ends[0])
    expected = np.polynomial.legendre.legvander(at, order - 1)
    np.testing.assert_allclose(trend, expected[:, 1:], atol=1e-8)
    np.testing.assert_allclose((w * expected.T) @ curve, 0.0, atol=1e-8)
    np.testing.assert_allclose(w @ np.sum(curve**2, 1), 4.0, rtol=1e-8)


def test_centering_changes_the_base_alone():
    plain, _ = jacobian(UNEVEN, X, scale=0.5)
    half, _ = jacobian(UNEVEN, X, scale=0.5, centered=0.5)
    np.testing.assert_allclose(half * 0.5**0.5, plain, rtol=1e-6)


def test_sites_and_what_is_beyond_the_knots():
    x = np.array([-2.0, -1.0, 0.0, 1.0, 6.0, 7.0])
    out, v, sites = run(PSplineLayer(), x, EQUAL, units=2)
    assert list(sites) == ["a.scale", "a.trend", "a.theta_base", "a.theta"]
    assert v["trend"].shape == (1, 2) and v["theta"].shape == (9, 2)
    np.testing.assert_allclose(out[:2], out[[2, 2]], rtol=1e-12)
    np.testing.assert_allclose(out[5], out[4], rtol=1e-12)
    np.testing.assert_allclose(out[2:5], BSpline(EQUAL, v["theta"], 3)(x[2:5]), atol=1e-9)
    out, v, _ = run(PSplineLayer(extrapolate="linear"), x, EQUAL, order=1)
    assert "trend" not in v
    slope = BSpline(EQUAL, v["theta"], 3).derivative()(0.0)
    np.testing.assert_allclose(out[0] - out[2], -2 * slope, rtol=1e-6)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: PSplineLayer(extrapolate="zero"), ValueError, "`extrapolate` must be"),
        (lambda: PSplineLayer(trend_dist=dist.Dirichlet), ValueError, "`trend_"),
        (
            lambda: PSplineLayer()("a", X, EQUAL[::-1]),
            ValueError,
            "`knots` must be ascending",
        ),
        (lambda: PSplineLayer()("a", X, [*EQUAL[:-1], np.nan]), ValueError, "`knots` must"),
        (
            lambda: PSplineLayer()("a", X, [0, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6, 7]),
            ValueError,
            "fewer repetitions",
        ),
        (lambda: PSplineLayer()("a", X, EQUAL, order=5), ValueError, "`order` must be at"),
        (lambda: PSplineLayer()("a", X, EQUAL, order=0), ValueError, "`order` must be"),
        (
            lambda: PSplineLayer()("a", X, make_knots(X, 0, 1), degree=1, order=2),
            ValueError,
            "more than `order`=2 functions",
        ),
        (lambda: PSplineLayer()("a", np.ones((5, 2)), EQUAL), ValueError, "one column"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call()


def test_components_can_be_recentered():
    """A handler's coordinates are those that the layer has when it is made with them."""
    model = recenter(PSplineLayer(), {"a.theta": 0.5})
    names = trace(seed(model, 0)).get_trace("a", X, EQUAL)
    assert names["a.theta_recentered"]["type"] == "sample"
    given = {"a.scale": jnp.array([0.3]), "a.trend": jnp.array([[0.2]])}
    base = np.linspace(-1, 1, 7)[:, None]
    both = [
        seed(substitute(layer, data=given | {name: jnp.asarray(base)}), 0)("a", X, EQUAL)
        for layer, name in (
            (model, "a.theta_recentered"),
            (PSplineLayer(centered=0.5), "a.theta_base"),
        )
    ]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-4, atol=1e-5)
