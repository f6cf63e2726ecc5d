"""B-splines against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline

from numpyro_bayeslayers.basis import bspline_basis, make_knots
from tests.quick import mostly_slow

RNG = np.random.default_rng(0)
DATA = RNG.gamma(2.0, size=200)


def scipy_basis(x, knots, degree):
    """Columns of SciPy's design matrix, and their derivatives."""
    size = len(knots) - degree - 1
    splines = [BSpline(knots, np.eye(size)[i], degree) for i in range(size)]
    values = np.stack([s(x) for s in splines], -1)
    slopes = np.stack([s.derivative()(x) for s in splines], -1) if degree else 0 * values
    return values, slopes


@pytest.mark.parametrize("num_knots", [0, 1, 7])
@pytest.mark.parametrize("degree", mostly_slow([0, 1, 2, 3, 5], {0, 3}))
def test_values_are_scipys(degree, num_knots):
    knots = make_knots(DATA, num_knots, degree)
    x = np.concatenate([RNG.uniform(knots[0], knots[-1], 50), knots[:-1]])
    with jax.enable_x64(True):
        found = np.asarray(bspline_basis(jnp.asarray(x), knots, degree))
    np.testing.assert_allclose(found, scipy_basis(x, knots, degree)[0], atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)


def test_right_end_belongs_to_the_last_function():
    knots = make_knots(DATA, 4)
    row = bspline_basis(jnp.asarray(knots[-1:]), knots)[0]
    np.testing.assert_allclose(row, np.eye(8)[-1], atol=1e-6)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_goes_on_along_the_tangents(degree):
    knots = make_knots(DATA, 4, degree)
    ends = np.array([knots[0], knots[-1] - 1e-13])
    values, slopes = scipy_basis(ends, knots, degree)
    with jax.enable_x64(True):
        x = jnp.asarray([ends[0] - 2.0, ends[1] + 3.0])
        found = bspline_basis(x, knots, degree)
        slope = jax.vmap(jax.jacfwd(lambda p: bspline_basis(p[None], knots, degree)[0]))(x)
    np.testing.assert_allclose(
        found, values + np.array([[-2.0], [3.0]]) * slopes, atol=1e-9
    )
    np.testing.assert_allclose(slope, slopes, atol=1e-9)


def test_stays_at_the_ends_on_request():
    knots = make_knots([0.0, 1.0], 2)
    x = jnp.array([-2.0, 0.0, 1.0, 3.0])
    found = bspline_basis(x, knots, extrapolate="constant")
    np.testing.assert_array_equal(found, found[jnp.array([1, 1, 2, 2])])


def test_knots():
    knots = make_knots(DATA, 3, 2)
    np.testing.assert_allclose(knots[3:-3], np.quantile(DATA, [0.25, 0.5, 0.75]))
    assert (knots[:3] == DATA.min()).all() and (knots[-3:] == DATA.max()).all()


def test_outside_is_refused_on_request():
    knots = make_knots([0.0, 1.0], 0)
    with pytest.raises(ValueError, match=r"within the knots.*got 1\.5"):
        bspline_basis(jnp.array([0.5, 1.5]), knots, extrapolate="error")
    run = jax.jit(lambda x: bspline_basis(x, knots, extrapolate="error"))
    run(jnp.array([0.5]))
    with pytest.raises(Exception, match="within the knots"):
        run(jnp.array([1.5])).block_until_ready()


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: make_knots([], 1), ValueError, "`x` must hold data"),
        (lambda: make_knots([1.0, np.nan], 1), ValueError, "NaN"),
        (lambda: make_knots([1.0, 1.0], 1), ValueError, "two different values"),
        (lambda: make_knots([0, 0, 0, 0, 1], 3), ValueError, "repeat a value"),
        (lambda: make_knots(DATA, -1), ValueError, "`num_knots`"),
        (lambda: make_knots(DATA, 1.5), TypeError, "`num_knots`"),
        (lambda: bspline_basis(DATA, [0.0, 1.0]), ValueError, "`knots` must be ascending"),
        (
            lambda: bspline_basis(DATA, [1.0, 0.0], 0),
            ValueError,
            "`knots` must be ascending",
        ),
        (
            lambda: bspline_basis(DATA, [0.0, np.nan], 0),
            ValueError,
            "`knots` must be ascending",
        ),
        (
            lambda: bspline_basis(DATA, [0.0, 1.0], 0, extrapolate="zero"),
            ValueError,
            "`extrapolate`",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_words_are_refused_by_the_name_of_their_argument():
    with pytest.raises(TypeError, match="`knots` must hold real numbers"):
        bspline_basis(np.linspace(0, 1, 3), "")
    with pytest.raises(TypeError, match="`x` must hold real numbers"):
        make_knots("", 3)
