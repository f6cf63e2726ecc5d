"""Each dense layer against its formula, its priors and its shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace

from numpyro_bayeslayers import layers

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jax.random.normal(jax.random.key(0), (5, 3))


def run(layer, *inputs):
    """The layer's output and its sites' values, of one prior draw."""
    sites = trace(seed(layer, 0)).get_trace(*inputs)
    values = {name.split(".")[1]: s["value"] for name, s in sites.items() if "value" in s}
    return seed(layer, 0)(*inputs), values, sites


@pytest.mark.parametrize(
    "cls",
    [
        layers.DenseReparameterization,
        layers.DenseFlipout,
        layers.DenseLocalReparameterization,
    ],
)
class TestNormalDense:
    def test_formula_and_prior(self, cls):
        out, v, sites = run(cls(3, 2, prior_scale=0.5, name="a"), X)
        assert list(sites) == ["a.weight", "a.bias"]
        np.testing.assert_allclose(out, X @ v["weight"] + v["bias"], rtol=1e-5)
        for site, event in (("a.weight", (3, 2)), ("a.bias", (2,))):
            assert sites[site]["fn"].event_shape == event
            np.testing.assert_allclose(sites[site]["fn"].variance, 0.25)

    def test_without_bias(self, cls):
        out, v, sites = run(cls(3, 2, False, name="a"), X)
        assert list(sites) == ["a.weight"]
        np.testing.assert_allclose(out, X @ v["weight"], rtol=1e-5)

    def test_fan_in(self, cls):
        _, _, sites = run(cls(3, 2, prior_scale="fan_in"), X)
        assert all(np.allclose(s["fn"].variance, 1 / 3) for s in sites.values())

    @pytest.mark.parametrize(
        ("arguments", "error", "match"),
        [
            ((0, 2), ValueError, "`in_features` must be a positive integer, got 0"),
            ((3, -1), ValueError, "`out_features` must be a positive integer, got -1"),
            (
                (3, 2.5),
                TypeError,
                r"`out_features` must be a positive integer, got 2.5 \(fl",
            ),
            ((3, 2, True, 0.0), ValueError, "`prior_scale` must be positive and finite"),
            (
                (3, 2, True, "fan_out"),
                ValueError,
                "positive number or 'fan_in', got 'fan_out'",
            ),
            ((3, 2, True, None), TypeError, "`prior_scale` must be a number, got None"),
        ],
    )
    def test_refuses(self, cls, arguments, error, match):
        with pytest.raises(error, match=match):
            cls(*arguments)

    def test_refuses_other_inputs(self, cls):
        with pytest.raises(
            ValueError, match=r"`x` must have 3 entries.*got shape \(5, 4\)"
        ):
            seed(cls(3, 2), 0)(jnp.ones((5, 4)))
        with pytest.raises(ValueError, match="'weight' needs a random key: run the model"):
            cls(3, 2)(X)


@pytest.mark.slow
def test_deep_fan_in_stack_has_bounded_prior_variance():
    """Linear layers of width 50: the variance of the output stays near one per layer.

    The mean of 2,000 squares is within a factor of 2 with the seed fixed here.
    """

    def stack(x):
        for i in range(4):
            x = layers.DenseReparameterization(50, 50, False, "fan_in", name=f"l{i}")(x)
        return x

    x = jnp.ones((1, 50))
    draws = jax.vmap(lambda key: seed(stack, key)(x)[0, 0])(
        jax.random.split(jax.random.key(0), 2000)
    )
    assert 0.5 < jnp.mean(draws**2) < 2.0


def test_variational_takes_any_prior():
    def make_prior(d_in, d_out):
        return (
            dist.LKJCholesky(d_in)
            if d_in == d_out
            else dist.Laplace().expand([d_in, d_out])
        )

    out, v, sites = run(layers.DenseVariational(3, 2, make_prior, name="a"), X)
    np.testing.assert_allclose(out, X @ v["weight"] + v["bias"], rtol=1e-5)
    assert sites["a.weight"]["fn"].event_shape == (3, 2)
    np.testing.assert_allclose(sites["a.weight"]["fn"].variance, 2.0)  # Laplace
    np.testing.assert_allclose(sites["a.bias"]["fn"].variance, 1.0)
    _, v, sites = run(layers.DenseVariational(3, 3, make_prior, bias=False, name="a"), X)
    assert list(sites) == ["a.weight"]
    np.testing.assert_allclose(v["weight"], jnp.tril(v["weight"]))


def test_variational_takes_a_hierarchical_prior():
    import numpyro

    def make_prior(d_in, d_out):
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        return dist.Normal(0.0, scale).expand([d_in, d_out])

    _, _, sites = run(layers.DenseVariational(3, 2, make_prior, name="a"), X)
    assert list(sites) == ["a.scale", "a.weight", "a.bias"]


@pytest.mark.parametrize(
    ("make_prior", "error", "match"),
    [
        (
            lambda i, o: dist.Normal(),
            ValueError,
            r"prior of shape \(3, 2\).*got \(\). `expand`",
        ),
        (
            lambda i, o: 1.0,
            TypeError,
            "returns a numpyro distribution, got one that returns 1.0",
        ),
        (1.0, TypeError, "`make_prior` must be callable, got 1.0"),
    ],
)
def test_variational_refuses(make_prior, error, match):
    with pytest.raises(error, match=match):
        layers.DenseVariational(3, 2, make_prior)


def test_ncp_is_two_parts():
    out, v, sites = run(layers.DenseNCP(3, 2, 0.5, name="a"), X)
    expected = X @ v["weight_det"] + v["bias_det"]
    expected = expected + v["scale"] * (X @ v["weight_stoch"] + v["bias_stoch"])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    assert list(sites) == [
        f"a.{s}" for s in ("weight_det", "bias_det", "weight_stoch", "bias_stoch", "scale")
    ]
    scale = sites["a.scale"]["fn"]
    np.testing.assert_allclose(jnp.log(scale.icdf(0.5)), jnp.log(0.5), rtol=1e-5)
    np.testing.assert_allclose(jnp.log(scale.icdf(0.841344746) / 0.5), 1.0, rtol=1e-4)
    with pytest.raises(ValueError, match="`init_scale` must be positive and finite, got 0"):
        layers.DenseNCP(3, 2, 0.0)


def test_hierarchical():
    layer = layers.DenseHierarchical(
        3, 2, prior_local_scale=0.3, prior_global_scale=0.2, name="a"
    )
    out, v, sites = run(layer, X)
    expected = ((X * v["z_local"]) @ v["theta"]) * v["z_global"] + v["bias"]
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    kinds = {name: site["type"] for name, site in sites.items()}
    assert kinds == {
        "a.theta": "param",
        "a.bias": "param",
        "a.z_local": "sample",
        "a.z_global": "sample",
    }
    # The median of a half-Cauchy is its scale.
    np.testing.assert_allclose(sites["a.z_global"]["fn"].cdf(0.2), 0.5, rtol=1e-5)
    half = dist.HalfCauchy(0.3).log_prob(v["z_local"]).sum()
    np.testing.assert_allclose(
        sites["a.z_local"]["fn"].log_prob(v["z_local"]), half, rtol=1e-5
    )
    assert jnp.all(v["theta"] != 0), "zero weights would never train"
    grad = jax.grad(
        lambda theta: jnp.sum(substitute(seed(layer, 0), {"a.theta": theta})(X) ** 2)
    )(v["theta"])
    assert jnp.all(grad != 0)


@pytest.mark.parametrize("name", ["prior_local_scale", "prior_global_scale"])
def test_hierarchical_refuses(name):
    with pytest.raises(ValueError, match=f"`{name}` must be positive and finite, got -1.0"):
        layers.DenseHierarchical(3, 2, **{name: -1.0})
