"""Each layer against its formula written as loops, at its natural sizes and at size one."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.basis import pairwise_interactions

from .draws import run

X = np.random.default_rng(0).normal(size=(4, 5))
Z = np.random.default_rng(1).normal(size=(4, 3))


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("x", "units"), [(X, 2), (X[:1], 1), (X[:, :1], 1)])
class TestLinear:
    def test_adaptive(self, x, units):
        out, v, sites = run(layers.AdaptiveLayer(), x, units=units)
        assert list(sites) == ["a.scale", "a.beta_base", "a.beta"]
        assert sites["a.scale"].event_shape == (units,)
        assert sites["a.beta_base"].event_shape == (x.shape[1], units)
        close(v["beta"], v["scale"] * v["beta_base"])
        close(out, np.array([[row @ v["beta"][:, u] for u in range(units)] for row in x]))

    def test_fixed(self, x, units):
        out, v, sites = run(layers.FixedPriorLayer(), x, units=units)
        assert list(sites) == ["a.beta"]
        close(out, np.array([[row @ v["beta"][:, u] for u in range(units)] for row in x]))

    def test_activation_is_last(self, x, units):
        layer = layers.AdaptiveLayer()
        out, _, _ = run(layer, x, units=units)
        squashed, _, _ = run(layer, x, units=units, activation=jnp.tanh)
        close(squashed, np.tanh(out))


def test_one_axis_is_one_column():
    out, v, _ = run(layers.AdaptiveLayer(), X[:, 0])
    assert v["beta"].shape == (1, 1)
    close(out, X[:, :1] * v["beta"])
    pairs, v, _ = run(layers.InteractionLayer(), X[:, 0], Z)
    close(
        pairs, np.array([[x[0] * z @ v["beta"][:, 0]] for x, z in zip(X, Z, strict=True)])
    )


def test_integers_are_numbers_too():
    x = np.array([[1, 2], [3, 4]])
    close(
        run(layers.AdaptiveLayer(), x)[0], run(layers.AdaptiveLayer(), x.astype(float))[0]
    )


@pytest.mark.parametrize("units", [1, 3])
def test_intercept(units):
    out, v, sites = run(layers.InterceptLayer(), units=units)
    assert list(sites) == ["a.beta"]
    close(out, v["beta"])
    assert out.shape == (1, units)


@pytest.mark.parametrize(
    ("x", "rank", "units"), [(X, 2, 2), (X[:1], 1, 1), (X[:, :1], 3, 1)]
)
class TestFactorization:
    def test_pairs(self, x, rank, units):
        out, v, sites = run(layers.FMLayer(), x, low_rank_dim=rank, units=units)
        assert sites["a.theta_base"].event_shape == (x.shape[1], rank, units)
        expected = np.zeros((len(x), units))
        for n, u in np.ndindex(expected.shape):
            for i, j in combinations(range(x.shape[1]), 2):
                factors = v["theta"][i, :, u] @ v["theta"][j, :, u]
                expected[n, u] += x[n, i] * x[n, j] * factors
        close(out, expected)

    def test_triples(self, x, rank, units):
        out, v, _ = run(layers.FM3Layer(), x, low_rank_dim=rank, units=units)
        expected = np.zeros((len(x), units))
        for n, u in np.ndindex(expected.shape):
            for triple in combinations(range(x.shape[1]), 3):
                factors = np.prod([v["theta"][i, :, u] for i in triple], axis=0).sum()
                expected[n, u] += np.prod(x[n, list(triple)]) * factors
        close(out, expected)


def test_pairwise_interactions():
    with jax.enable_x64(True):
        out = np.asarray(pairwise_interactions(X, Z))
    assert out.shape == (4, 15)
    for n, i, j in np.ndindex(4, 5, 3):
        assert out[n, 3 * i + j] == X[n, i] * Z[n, j]


@pytest.mark.parametrize(
    ("x", "z", "units"), [(X, Z, 2), (X[:1], Z[:1], 1), (X[:, :1], Z[:, :1], 1)]
)
class TestInteraction:
    def test_all_pairs(self, x, z, units):
        out, v, sites = run(layers.InteractionLayer(), x, z, units=units)
        d1, d2 = x.shape[1], z.shape[1]
        assert sites["a.beta_base"].event_shape == (d1 * d2, units)
        expected = np.zeros((len(x), units))
        for n, u, i, j in np.ndindex(len(x), units, d1, d2):
            expected[n, u] += x[n, i] * z[n, j] * v["beta"][i * d2 + j, u]
        close(out, expected)

    def test_bilinear(self, x, z, units):
        out, v, _ = run(layers.BilinearLayer(), x, z, units=units)
        assert v["W"].shape == (x.shape[1], z.shape[1], units)
        close(
            out,
            np.array(
                [
                    [x_n @ v["W"][..., u] @ z_n for u in range(units)]
                    for x_n, z_n in zip(x, z, strict=True)
                ]
            ),
        )

    def test_low_rank(self, x, z, units):
        layer = layers.LowRankInteractionLayer()
        out, v, sites = run(layer, x, z, low_rank_dim=2, units=units)
        assert [s for s in sites if "base" not in s] == [
            f"a.{s}" for s in ("scale1", "theta1", "scale2", "theta2")
        ]
        close(v["theta2"], v["scale2"] * v["theta2_base"])
        expected = np.zeros((len(x), units))
        for n, u, rank in np.ndindex(len(x), units, 2):
            left, right = x[n] @ v["theta1"][:, rank, u], z[n] @ v["theta2"][:, rank, u]
            expected[n, u] += left * right
        close(out, expected)

    def test_low_rank_bilinear(self, x, z, units):
        layer = layers.LowRankBilinearLayer()
        out, v, sites = run(layer, x, z, low_rank_dim=2, units=units)
        assert [s for s in sites if "base" not in s] == ["a.scale", "a.A", "a.B"]
        form = np.einsum("ilu,jlu->iju", v["A"], v["B"])
        close(out, np.einsum("ni,iju,nj->nu", x, form, z))


@pytest.mark.parametrize("x", [[0, 2, 2, 1], [2]])
def test_categories(x):
    x = np.array(x)
    out, v, sites = run(layers.EmbeddingLayer(), x, num_categories=3, embedding_dim=2)
    assert sites["a.scale"].event_shape == ()
    assert sites["a.theta_base"].event_shape == (3, 2)
    close(out, np.array([v["theta"][k] for k in x]))
    out, v, _ = run(layers.RandomEffectsLayer(), x, num_categories=3)
    close(out, np.array([v["theta"][k] for k in x]))
    assert out.shape == (len(x), 1)


def test_one_category():
    out, v, _ = run(layers.RandomEffectsLayer(), np.zeros(3, int), num_categories=1)
    close(out, np.repeat(v["theta"], 3, axis=0))


def test_one_instance_serves_many_names():
    layer = layers.AdaptiveLayer()

    def model():
        return layer("one", X) + layer("two", Z, units=1)

    ones = {"one.beta": jnp.ones((5, 1)), "two.beta": jnp.ones((3, 1))}
    out = seed(substitute(model, ones), 0)()
    np.testing.assert_allclose(out[:, 0], X.sum(1) + Z.sum(1), rtol=1e-5)
