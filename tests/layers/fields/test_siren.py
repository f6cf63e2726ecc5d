"""Sinusoidal networks: laws of their weights, what the laws are for, derivatives, priors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy import stats

from numpyro_bayeslayers.layers import SIREN, BayesianSIREN, SirenDense
from numpyro_bayeslayers.primitives import scope

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)


def new(*sizes, **settings):
    """A network whose weights are drawn in one compiled piece."""
    return jax.jit(lambda key: SIREN.init(*sizes, key=key, **settings))(KEY)


@pytest.fixture(scope="module")
def wide():
    return new(4, 128, 60, depth=4, first_omega=20.0, hidden_omega=10.0, c=5.0)


def test_laws_of_the_weights(wide):
    """Kolmogorov-Smirnov on 8 samples; each fails with probability 1e-4 by chance."""
    limits = [1 / 4, *3 * [np.sqrt(5 / 128) / 10]]
    assert [layer.omega for layer in wide.layers] == [20.0, 10.0, 10.0, 10.0]
    for layer, limit in zip(wide.layers, limits, strict=True):
        edge = 1 / np.sqrt(layer.in_features)
        for values, a in ((layer.weight, limit), (layer.bias, edge)):
            flat = np.asarray(values).ravel()
            assert np.abs(flat).max() <= a
            assert stats.kstest(flat, stats.uniform(-a, 2 * a).cdf).pvalue > 1e-4
    shapes = [layer.weight.shape for layer in wide.layers]
    assert shapes == [(4, 128), (128, 128), (128, 128), (128, 60)]


@pytest.mark.slow
def test_activations_keep_their_law_over_depth():
    """Each of 9 layers of sines is arcsine distributed, and goes on following the input.

    Of 60 keys tried, the largest distance of distribution functions in any layer was 0.088,
    and the last layer's deviation over inputs was between 0.23 and 0.29. With a constant c
    four times too small it is below 0.01: the network forgets its input.
    """

    def last_activations(c, most):
        net = new(1, 256, 1, depth=10, c=c)
        h = jnp.linspace(-1, 1, 512)[:, None]
        for layer in net.layers[:-1]:
            h = layer(h)
            sample = np.asarray(h[::8]).ravel()
            assert stats.kstest(sample, stats.arcsine(-1, 2).cdf).statistic < most
        return float(jnp.std(h, axis=0).mean())

    assert 0.2 < last_activations(6.0, 0.1) < 0.32
    assert last_activations(1.5, 1.0) < 0.01


def test_formula(wide):
    x = np.random.default_rng(0).uniform(-1, 1, (7, 4))
    h = x
    for i, layer in enumerate(wide.layers):
        z = h @ np.asarray(layer.weight, float) + np.asarray(layer.bias, float)
        h = z if i == 3 else np.sin(layer.omega * z)
    # A phase of 20 carries 20 times the rounding of its sum.
    np.testing.assert_allclose(wide(x), h, atol=2e-5)
    np.testing.assert_allclose(wide(x[0]), h[0], atol=2e-5)
    np.testing.assert_allclose(wide(x[None])[0], h, atol=2e-5)


def test_derivatives():
    """The Laplacian of the network against finite differences, in double precision."""
    with jax.enable_x64(True):
        net = new(2, 16, 1, depth=3, first_omega=5.0, hidden_omega=5.0)
        x, step = jnp.array([0.3, -0.2]), 1e-4
        value = jax.jit(lambda x: net(x)[0])
        laplacian = jnp.trace(jax.jit(jax.hessian(value))(x))
        around = sum(value(x + s * step * e) for s in (-1, 1) for e in np.eye(2))
        assert x.dtype == net.layers[0].weight.dtype == jnp.float64
        np.testing.assert_allclose(laplacian, (around - 4 * value(x)) / step**2, rtol=1e-5)


def test_weights_are_trained():
    net = new(2, 8, 1, depth=3)
    x = jax.random.uniform(KEY, (20, 2))
    grads = eqx.filter_jit(eqx.filter_grad(lambda net: jnp.mean((net(x) - x[:, :1]) ** 2)))(
        net
    )
    leaves = jax.tree.leaves(grads)
    assert len(leaves) == 6
    assert all(jnp.isfinite(leaf).all() and jnp.any(leaf != 0) for leaf in leaves)


@pytest.mark.parametrize("prior_std", [1.0, 0.5])
def test_priors_have_the_scales_of_the_laws(prior_std):
    """The variance of a uniform law between -a and a is a^2 / 3."""
    settings = {"depth": 3, "first_omega": 20.0, "hidden_omega": 10.0, "c": 5.0}
    bayesian = BayesianSIREN.init(4, 32, 2, **settings, prior_std=prior_std, name="f")
    found = {}

    def note(key):
        for name, site in trace(seed(bayesian, key)).get_trace(jnp.ones((1, 4))).items():
            base = site["fn"].base_dist.base_dist
            found[name] = (site["fn"].event_shape, float(base.scale), float(base.loc))

    jax.eval_shape(note, KEY)  # priors are there before any number is drawn
    limits = {
        "layer_0": 1 / 4,
        "layer_1": np.sqrt(5 / 32) / 10,
        "layer_2": np.sqrt(5 / 32) / 10,
    }
    sizes = {"layer_0": (4, 32), "layer_1": (32, 32), "layer_2": (32, 2)}
    assert len(found) == 6
    for layer, limit in limits.items():
        for site, a, shape in (
            ("weight", limit, sizes[layer]),
            ("bias", 1 / np.sqrt(sizes[layer][0]), sizes[layer][1:]),
        ):
            event, scale, loc = found[f"f.{layer}.{site}"]
            assert (event, loc) == (shape, 0.0)
            np.testing.assert_allclose(scale, prior_std * a / np.sqrt(3), rtol=1e-6)


def test_same_weights_same_network(wide):
    """The Bayesian network at the other's weights, and its layers by hand."""
    bayesian = BayesianSIREN(4, 128, 60, 4, 20.0, 10.0, 5.0, name="f")
    values = {}
    for i, layer in enumerate(wide.layers):
        values |= {f"f.layer_{i}.weight": layer.weight, f"f.layer_{i}.bias": layer.bias}

    def by_hand(x):
        with scope(prefix=bayesian.prefix):
            for layer in bayesian.layers:
                x = layer(x)
        return x

    x = jax.random.uniform(KEY, (7, 4))
    for model in (bayesian, by_hand):
        found = jax.jit(seed(substitute(model, values), 0))(x)
        np.testing.assert_allclose(found, wide(x), atol=2e-5)
    sizes = [(layer.in_features, layer.out_features) for layer in bayesian.layers]
    assert sizes == [(layer.in_features, layer.out_features) for layer in wide.layers]
    assert (wide.in_features, wide.out_features) == (4, 60)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"in_features": 0}, ValueError, "`in_features` must be a positive integer, got 0"),
        ({"hidden_features": 2.0}, TypeError, "`hidden_features` must be a positive integ"),
        ({"out_features": -1}, ValueError, "`out_features` must be a positive integer"),
        ({"depth": 1}, ValueError, "`depth` must be at least 2, a layer of sines and the"),
        ({"first_omega": 0.0}, ValueError, "`first_omega` must be positive and finite"),
        ({"hidden_omega": -1.0}, ValueError, "`hidden_omega` must be positive and finite"),
        ({"c": 0.0}, ValueError, "`c` must be positive and finite, got 0.0"),
    ],
)
@pytest.mark.parametrize("make", [BayesianSIREN.init, lambda **k: SIREN.init(**k, key=KEY)])
def test_refuses(make, changes, error, match):
    arguments = {"in_features": 2, "hidden_features": 4, "out_features": 1, "depth": 3}
    with pytest.raises(error, match=match):
        make(**(arguments | changes))


def test_refuses_what_only_one_has():
    with pytest.raises(ValueError, match="`prior_std` must be positive and finite"):
        BayesianSIREN.init(2, 4, 1, depth=3, prior_std=0.0)
    with pytest.raises(ValueError, match=r"`layer_type` must be one of.*mean 'hidden'"):
        SirenDense.init(2, 4, key=KEY, layer_type="hiden")
    net = new(2, 4, 1, depth=2)
    with pytest.raises(ValueError, match=r"`x` must have 2 entries.*got shape \(5, 3\)"):
        net(jnp.ones((5, 3)))
