"""The spline term against SciPy's splines."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy.interpolate import BSpline

from numpyro_bayeslayers.basis import make_knots
from numpyro_bayeslayers.layers import SplineLayer

X = np.random.default_rng(0).uniform(-1, 2, 30)
KNOTS = make_knots(X, 4)


def test_is_scipys_spline_of_the_walk():
    layer = SplineLayer()
    sites = trace(seed(layer, 0)).get_trace("age", jnp.asarray(X), KNOTS, 2)
    assert set(sites) == {"age.scale", "age.delta_base", "age.delta", "age.theta"}
    theta = np.asarray(sites["age.theta"]["value"], np.float64)
    np.testing.assert_allclose(theta, np.cumsum(sites["age.delta"]["value"], 0), rtol=1e-5)
    found = seed(layer, 0)("age", jnp.asarray(X), KNOTS, 2)
    np.testing.assert_allclose(found, BSpline(KNOTS, theta, 3)(X), rtol=1e-4, atol=1e-5)


def test_is_a_line_beyond_the_knots():
    x = jnp.asarray([3.0, 4.0, 5.0])
    f = seed(SplineLayer(), 0)("age", x, KNOTS)[:, 0]
    np.testing.assert_allclose(f[2] - f[1], f[1] - f[0], rtol=1e-4)


def test_scale_sets_the_steps():
    layer = SplineLayer()
    base = trace(seed(layer, 0)).get_trace("age", jnp.asarray(X), KNOTS)["age.delta_base"]
    data = {"age.delta_base": base["value"]}
    one, three = (
        seed(substitute(layer, data=data | {"age.scale": jnp.asarray(s)}), 0)(
            "age", jnp.asarray(X), KNOTS
        )
        for s in (1.0, 3.0)
    )
    np.testing.assert_allclose(three, 3 * one, rtol=1e-4, atol=1e-6)


def test_several_columns_are_refused():
    with pytest.raises(ValueError, match="`x` must be one column"):
        seed(SplineLayer(), 0)("age", jnp.ones((5, 2)), KNOTS)
