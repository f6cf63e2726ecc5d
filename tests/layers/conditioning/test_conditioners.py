"""Conditioners against explicit loops over rows, and against autodiff."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace

from numpyro_bayeslayers import layers

KEY = jax.random.key(0)
H = jax.random.normal(jax.random.key(1), (5, 4))
Z = jax.random.normal(jax.random.key(2), (5, 3))


def mlp(out):
    return eqx.nn.MLP(3, out, 6, 1, key=KEY)


CONDITIONERS = {
    "concat": layers.ConcatConditioner.init(4, 3, key=KEY),
    "film": layers.FiLM.init(4, 3, key=KEY, init_scale=1.0),
    "hyper": layers.HyperLinear.init(4, 2, 3, key=KEY, init_scale=1.0),
    "fourier": layers.HyperFourierFeatures(mlp(4 * 5 + 5 + 1), 4, 5, 3),
    "siren": layers.HyperSIREN(
        4, 6, 2, depth=3, cond_dim=3, parameter_net=jnp.tanh, key=KEY, init_scale=1.0
    ),
    "inr": layers.ConditionedINR.init(
        layers.SIREN.init(4, 6, 2, depth=3, key=KEY, first_omega=2.0),
        conditioner_cls=layers.HyperLinear,
        cond_dim=3,
        key=KEY,
        init_scale=1.0,
    ),
    "bayesian concat": layers.BayesianConcatConditioner.init(4, 3, name="c"),
    "bayesian film": layers.BayesianAffineModulation.init(4, 3, name="c"),
    "bayesian hyper": layers.BayesianHyperLinear.init(4, 2, 3, name="c"),
}


@pytest.mark.parametrize("name", CONDITIONERS)
def test_shared_context_rows_and_contexts_agree(name):
    """One context for all rows is that context repeated; one row with many is a table."""
    layer = CONDITIONERS[name]
    call = lambda h, z: seed(layer, 0)(h, z)
    shared = call(H, Z[0])
    np.testing.assert_allclose(call(H, jnp.tile(Z[:1], (5, 1))), shared, atol=2e-5)
    rows = call(H, Z)
    for i in range(5):
        np.testing.assert_allclose(call(H[i], Z[i]), rows[i], atol=2e-5)
    many = call(H[0], Z)
    np.testing.assert_allclose(many, call(jnp.tile(H[:1], (5, 1)), Z), atol=2e-5)
    assert call(H[0], Z[0]).ndim == 1


def test_concat_is_its_formula():
    layer = CONDITIONERS["concat"]
    expected = [
        layer.proj.weight @ jnp.concatenate([h, z]) + layer.proj.bias
        for h, z in zip(H, Z, strict=True)
    ]
    np.testing.assert_allclose(layer(H, Z), expected, rtol=1e-5, atol=1e-6)


def test_hyper_linear_is_its_formula():
    """[W row by row (out, in), b]."""
    layer = CONDITIONERS["hyper"]
    expected = []
    for h, z in zip(H, Z, strict=True):
        made = layer.generator.weight @ z + layer.generator.bias
        expected.append(made[:8].reshape(2, 4) @ h + made[8:])
    np.testing.assert_allclose(layer(H, Z), expected, rtol=1e-5, atol=1e-6)


def test_hyper_fourier_is_its_formula():
    layer = CONDITIONERS["fourier"]
    expected = []
    for x, z in zip(H, Z, strict=True):
        made = layer.parameter_net(z)
        u = x @ made[:20].reshape(4, 5) * jnp.exp(-made[-1]) + made[20:25]
        expected.append(jnp.concatenate([jnp.cos(u), jnp.sin(u)]) / jnp.sqrt(5))
    np.testing.assert_allclose(layer(H, Z), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", ["one_plus_tanh", "exp", "softplus", "identity"])
def test_film_is_the_identity_at_construction(gamma):
    layer = layers.AffineModulation.init(4, 3, key=KEY, gamma_activation=gamma)
    np.testing.assert_allclose(layer(H, Z), H, rtol=1e-6)
    moved = layers.FiLM.init(4, 3, key=KEY, gamma_activation=gamma, init_scale=0.5)
    assert jnp.abs(moved(H, Z) - H).max() > 0.1


def test_film_scales_and_shifts():
    layer = CONDITIONERS["film"]
    made = Z @ layer.generator.weight.T + layer.generator.bias
    expected = (1 + jnp.tanh(made[:, 4:])) * H + made[:, :4]
    np.testing.assert_allclose(layer(H, Z), expected, rtol=1e-5, atol=1e-6)


def test_log_det_is_that_of_the_jacobian():
    layer = layers.FiLM.init(4, 3, key=KEY, gamma_activation="exp", init_scale=1.0)
    jacobians = jax.vmap(jax.jacfwd(layer))(H, Z)
    expected = np.linalg.slogdet(np.asarray(jacobians, np.float64))[1]
    np.testing.assert_allclose(layer.log_det(Z), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.log_det(Z[0]), expected[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(NotImplementedError, match="'exp'"):
        CONDITIONERS["film"].log_det(Z)


@pytest.mark.slow
@pytest.mark.parametrize("cond_dim", [4, 16, 64])
def test_generated_weights_have_the_laws_deviations(cond_dim):
    """Over 400 standard normal contexts and thousands of weights: within 5% of the law.

    The smallest layer has 32 by 64 weights, whose pooled deviation has a standard error of
    about 1% (contexts are shared by the weights of a layer: 1/sqrt(2 * 400) = 3.5% at worst
    for a single direction, less by the number of directions); the key is fixed.
    """
    net = layers.HyperSIREN(
        8, 64, 32, depth=3, cond_dim=cond_dim, parameter_net=jnp.tanh, key=KEY
    )
    z = jax.random.normal(jax.random.key(3), (400, cond_dim))
    laws = [(1 / 8, 8), (np.sqrt(6 / 64) / 30, 64), (np.sqrt(6 / 64) / 30, 64)]
    for layer, (bound, fan_in) in zip(net.hyper_layers, laws, strict=True):
        made = z @ layer.generator.weight.T
        split = layer.target_in * layer.target_out
        np.testing.assert_allclose(
            made[:, :split].std(), 0.1 * bound / np.sqrt(3), rtol=0.05
        )
        expected = 0.1 / np.sqrt(fan_in) / np.sqrt(3)
        np.testing.assert_allclose(made[:, split:].std(), expected, rtol=0.12)


def test_hyper_siren_is_its_formula():
    net = CONDITIONERS["siren"]
    h, z = H[0], jnp.tanh(Z[0])
    for i, layer in enumerate(net.hyper_layers):
        made = layer.generator.weight @ z + layer.generator.bias
        split = layer.target_in * layer.target_out
        h = made[:split].reshape(layer.target_out, layer.target_in) @ h + made[split:]
        h = jnp.sin(30.0 * h) if i < 2 else h
    np.testing.assert_allclose(net(H[0], Z[0]), h, rtol=1e-3, atol=1e-5)


INNER = {
    "SIREN": (layers.SIREN.init(4, 6, 2, depth=3, key=KEY, first_omega=2.0), (2,)),
    "BayesianSIREN": (layers.BayesianSIREN.init(4, 6, 2, depth=3, first_omega=2.0), (2,)),
    "field": (
        layers.BayesianNeuralField([1.0] * 4, [1, 0, 0, 0], [(0, 1)], [4.0], [2], 6, 2),
        (1,),
    ),
    "MLP": (eqx.nn.MLP(4, 2, 6, 2, activation=jax.nn.tanh, key=KEY), (2,)),
}


@pytest.mark.parametrize("name", INNER)
def test_conditioning_by_the_identity_is_the_network_itself(name):
    inner, out = INNER[name]
    net = layers.ConditionedINR.init(
        inner, conditioner_cls=layers.FiLM, cond_dim=3, key=KEY
    )
    found = seed(net, 0)(H, Z)
    assert found.shape == (5, *out)
    values = {
        name.removeprefix("conditioned_inr.inner."): site["value"]
        for name, site in trace(seed(net, 0)).get_trace(H, Z).items()
    }
    if name == "MLP":
        expected = jax.vmap(inner)(H)
    else:
        named = {f"{getattr(inner, 'prefix', '')}.{k}": v for k, v in values.items()}
        # Another seed: the draws must be those of the network, not made again.
        expected = seed(substitute(inner, data=named), 1)(H).reshape(5, *out)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", INNER)
def test_context_beside_the_input(name):
    sizes = {"SIREN": 7, "BayesianSIREN": 7, "field": 7, "MLP": 7}
    inner = {
        "SIREN": lambda d: layers.SIREN.init(d, 6, 2, depth=2, key=KEY),
        "BayesianSIREN": lambda d: layers.BayesianSIREN.init(d, 6, 2, depth=2),
        "field": lambda d: layers.BayesianNeuralField([1.0] * d, [0] * d, [], [], [], 6, 1),
        "MLP": lambda d: eqx.nn.MLP(d, 2, 6, 1, key=KEY),
    }[name](sizes[name])
    net = layers.ConditionedINR.init(
        inner, conditioner_cls=layers.FiLM, cond_dim=3, key=KEY, mode="input"
    )
    found = seed(net, 0)(H, Z)
    assert len(found) == 5
    np.testing.assert_allclose(seed(net, 0)(H, Z[0])[0], found[0], rtol=1e-4, atol=1e-5)


def test_sites_nest_under_stable_names():
    net = layers.ConditionedINR.init(
        layers.BayesianSIREN.init(4, 6, 2, depth=3),
        conditioner_cls=layers.BayesianAffineModulation,
        cond_dim=3,
        key=KEY,
        name="net",
    )
    assert list(trace(seed(net, 0)).get_trace(H, Z)) == [
        "net.inner.layer_0.weight",
        "net.inner.layer_0.bias",
        "net.cond_0.gen_W",
        "net.cond_0.gen_b",
        "net.inner.layer_1.weight",
        "net.inner.layer_1.bias",
        "net.cond_1.gen_W",
        "net.cond_1.gen_b",
        "net.inner.layer_2.weight",
        "net.inner.layer_2.bias",
    ]


def test_conditioners_learn_by_gradient():
    """At the identity the gradient by the context's map is not zero."""
    net = layers.ConditionedINR.init(
        INNER["SIREN"][0], conditioner_cls=layers.FiLM, cond_dim=3, key=KEY
    )
    grads = eqx.filter_grad(lambda n: (n(H, Z) ** 2).sum())(net)
    assert all(jnp.abs(c.generator.weight).max() > 0 for c in grads.conditioners)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: CONDITIONERS["film"](H[:, :2], Z), ValueError, "`num_features`"),
        (lambda: CONDITIONERS["hyper"](H[:, :2], Z), ValueError, "`target_in`"),
        (lambda: CONDITIONERS["film"](H, Z[:, :2]), ValueError, "`cond_dim`"),
        (lambda: CONDITIONERS["film"](H, Z[:3]), ValueError, "one for each row"),
        (lambda: CONDITIONERS["fourier"](H, Z[:3]), ValueError, "one context for each"),
        (lambda: CONDITIONERS["siren"](H[:, :2], Z), ValueError, "`in_features`"),
        (
            lambda: layers.HyperFourierFeatures(mlp(27), 4, 5, 3)(H, Z),
            ValueError,
            "`parameter_net` must give 26 numbers",
        ),
        (lambda: layers.FiLM.init(0, 3, key=KEY), ValueError, "`num_features`"),
        (
            lambda: layers.FiLM.init(4, 3, key=KEY, gamma_activation="relu"),
            ValueError,
            "`gamma_activation`",
        ),
        (lambda: layers.BayesianHyperLinear.init(4, 2, 0), ValueError, "`cond_dim`"),
        (
            lambda: layers.BayesianConcatConditioner.init(4, 2, prior_std=0.0),
            ValueError,
            "`prior_std`",
        ),
        (
            lambda: layers.ConditionedINR.init(
                jnp.tanh, conditioner_cls=layers.FiLM, cond_dim=3, key=KEY
            ),
            TypeError,
            "`inner` must have two or more `layers`",
        ),
        (
            lambda: layers.ConditionedINR.init(
                INNER["SIREN"][0],
                conditioner_cls=layers.FiLM,
                cond_dim=3,
                key=KEY,
                mode="output",
            ),
            ValueError,
            "`mode` must be one of",
        ),
        (
            lambda: layers.ConditionedINR.init(
                mlp(7),
                conditioner_cls=layers.FiLM,
                cond_dim=3,
                key=KEY,
                mode="input",
                nonsense=3,
            ),
            TypeError,
            r"`conditioner_kwargs` must be empty in mode 'input'.*\['nonsense'\]",
        ),
        (
            lambda: layers.ConditionedRFFNet.init(feat=jnp.tanh, out_features=1, key=KEY),
            TypeError,
            "`feat` must have",
        ),
        (
            lambda: layers.HyperSIREN(
                4, 6, 2, depth=3, cond_dim=3, parameter_net=3, key=KEY
            ),
            TypeError,
            "`parameter_net`",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
