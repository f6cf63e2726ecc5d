"""What all modules without sites keep: constants stay, any transformation, any precision."""

import equinox as eqx
import jax
import numpy as np
import pytest

from numpyro_bayeslayers import basis, layers
from tests.cases.fields import MODULES

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
INPUTS = {
    "SeasonalFeatures": X[:, 0],
    "LonLatScale": X[:, :2],
    "Cartesian3DEncoder": X[:, :2],
}
TRAINED = {"SIREN": 4, "SirenDense": 2}


@pytest.mark.parametrize("name", MODULES)
def test_module(name):
    module, x = MODULES[name].make("a"), INPUTS.get(name, X)
    assert module.name == "a"
    leaves, structure = jax.tree.flatten(module)
    assert len(leaves) == TRAINED.get(name, 0), "constants would be trained"
    expected = module(x)
    assert expected.dtype == np.float32
    again = eqx.filter_jit(jax.tree.unflatten(structure, leaves))(x)
    np.testing.assert_allclose(again, expected, atol=1e-5)
    np.testing.assert_allclose(module(x[1:2]), expected[1:2], atol=1e-5)
    np.testing.assert_allclose(module(np.stack([x, x]))[1], expected, atol=1e-5)
    with jax.enable_x64(True):
        assert MODULES[name].make("a")(x.astype(float)).dtype == np.float64


@pytest.mark.parametrize(
    ("module", "function", "columns"),
    [
        (layers.Standardization([1.0, 2.0, 3.0], 2.0), lambda x: (x - [1, 2, 3]) / 2, 3),
        (layers.SeasonalFeatures([4.0, 7.0], (2, 1), True), None, 0),
        (layers.InteractionFeatures([(0, 2), (1, 1)]), None, 3),
        (layers.Deg2Rad(), np.deg2rad, 3),
        (layers.CyclicEncoder(), None, 3),
        (layers.LonLatScale((0.0, 2.0), (1.0, 3.0)), lambda x: x - [1, 2], 2),
    ],
)
def test_is_its_function(module, function, columns):
    functions = {
        layers.SeasonalFeatures: lambda x: basis.seasonal_features(
            x, [4.0, 7.0], [2, 1], rescale=True
        ),
        layers.InteractionFeatures: lambda x: np.stack(
            [x[:, 0] * x[:, 2], x[:, 1] ** 2], 1
        ),
        layers.CyclicEncoder: lambda x: np.concatenate([np.cos(x), np.sin(x)], 1),
    }
    x = X[:, :columns] if columns else X[:, 0]
    expected = (function or functions[type(module)])(x)
    np.testing.assert_allclose(module(x), expected, atol=1e-5)


def test_fourier_blocks_stand_in_the_order_of_columns():
    found = layers.FourierFeatures([2, 0, 1], rescale=True)(X)
    first = basis.fourier_features(X[:, 0], 2, rescale=True)
    last = basis.fourier_features(X[:, 2], 1, rescale=True)
    np.testing.assert_allclose(found, np.concatenate([first, last], 1), atol=1e-6)
    assert layers.FourierFeatures([0, 0, 0])(X).shape == (5, 0)


def test_harmonics_of_directions_and_of_places():
    lonlat = X[:, :2]
    xyz = layers.Cartesian3DEncoder()(lonlat)
    places = layers.SphericalHarmonicEncoder(4, "lonlat")(lonlat)
    harmonics = layers.SphericalHarmonicEncoder(4)
    np.testing.assert_allclose(harmonics(3 * xyz), places, atol=1e-5)
    assert np.isfinite(jax.jacrev(harmonics)(np.zeros(3, np.float32))).all()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: layers.Standardization(0.0, [1.0, 0.0]),
            ValueError,
            "`std` must be positi",
        ),
        (
            lambda: layers.Standardization([0.0], [1.0, 2.0]),
            ValueError,
            "`mu` has 1, `std` has 2",
        ),
        (
            lambda: layers.Standardization([0.0], 1.0)(X),
            ValueError,
            "`x` must have 1 entries",
        ),
        (
            lambda: layers.FourierFeatures(2),
            TypeError,
            "`degrees` must be a sequence, g",
        ),
        (
            lambda: layers.FourierFeatures([-1]),
            ValueError,
            "`degrees` must be zero or posit",
        ),
        (lambda: layers.FourierFeatures([1])(X), ValueError, r"`x` must have 1 entries"),
        (
            lambda: layers.SeasonalFeatures([4.0], [1, 2]),
            ValueError,
            "`harmonics` must have",
        ),
        (
            lambda: layers.InteractionFeatures([(0, -1)]),
            ValueError,
            "`pairs` must name col",
        ),
        (
            lambda: layers.InteractionFeatures([(0, 3)])(X),
            ValueError,
            "columns 0 to 2, got",
        ),
        (
            lambda: layers.LonLatScale((1.0, 0.0)),
            ValueError,
            "`lon_range` must be two finit",
        ),
        (lambda: layers.Cartesian3DEncoder("grad"), ValueError, "`input_unit` must be one"),
        (
            lambda: layers.SphericalHarmonicEncoder(-1),
            ValueError,
            "`l_max` must be zero or",
        ),
        (
            lambda: layers.SphericalHarmonicEncoder(1, "xyz"),
            ValueError,
            "`input_mode` must b",
        ),
        (
            lambda: layers.SphericalHarmonicEncoder(1)(X[:, :2]),
            ValueError,
            r"three entries in its last axis.*got shape \(5, 2\).*input_mode=\"lonlat\"",
        ),
    ],
)
def test_refuses(make, error, match):
    with pytest.raises(error, match=match):
        make()
