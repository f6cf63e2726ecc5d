"""Lifted modules: which parameter becomes what, and that the module's own call is kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.layers import DenseReparameterization, Lifted, LiftedLinear, lift

KEY = jax.random.key(0)
N01 = dist.Normal(0, 1)
X = jax.random.normal(jax.random.key(1), (5, 3))
TOKENS = jax.random.normal(jax.random.key(2), (5, 6, 4))
STATE = jnp.linspace(-1, 1, 20).reshape(5, 4)
MLP = eqx.nn.MLP(3, 2, 4, 1, key=KEY)

MODULES = {
    "linear": (eqx.nn.Linear(3, 2, key=KEY), (X,)),
    "scalar linear": (eqx.nn.Linear("scalar", "scalar", key=KEY), (X[:, 0],)),
    "mlp": (MLP, (X,)),
    "conv": (eqx.nn.Conv1d(6, 2, 3, key=KEY), (TOKENS,)),
    "grouped conv": (eqx.nn.Conv1d(6, 4, 3, padding=1, groups=2, key=KEY), (TOKENS,)),
    "circular conv": (
        eqx.nn.Conv1d(6, 2, 3, padding="SAME", padding_mode="CIRCULAR", key=KEY),
        (TOKENS,),
    ),
    "conv 2d": (eqx.nn.Conv2d(1, 2, 3, use_bias=False, key=KEY), (TOKENS[:, None],)),
    "transposed conv": (eqx.nn.ConvTranspose1d(6, 2, 3, stride=2, key=KEY), (TOKENS,)),
    "embedding": (eqx.nn.Embedding(6, 4, key=KEY), (jnp.array([0, 5, 2, 2, 1]),)),
    "gru": (eqx.nn.GRUCell(3, 4, key=KEY), (X, STATE)),
    "lstm": (eqx.nn.LSTMCell(3, 4, key=KEY), (X, (STATE, -STATE))),
    "layer norm": (eqx.nn.LayerNorm(3), (X,)),
    "attention": (eqx.nn.MultiheadAttention(2, 4, key=KEY), (TOKENS,) * 3),
    "sequential": (
        eqx.nn.Sequential(
            [eqx.nn.Linear(3, 4, key=KEY), eqx.nn.Lambda(jnp.tanh), eqx.nn.LayerNorm(4)]
        ),
        (X,),
    ),
}


def filled(module, values):
    """The module with its arrays replaced one by one, by their place in Equinox's order."""
    leaves, structure = jax.tree.flatten(module)
    paths = [
        jax.tree_util.keystr(keys, simple=True, separator=".")
        for keys, _ in jax.tree_util.tree_leaves_with_path(module)
    ]
    new = [values.get(p, leaf) for p, leaf in zip(paths, leaves, strict=True)]
    return jax.tree.unflatten(structure, new)


def draws(model, *args):
    sites = trace(seed(model, 3)).get_trace(*args)
    return {name: site["value"] for name, site in sites.items() if site["type"] != "plate"}


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), a, b)


@pytest.mark.parametrize("kind", MODULES)
def test_is_the_module_mapped_over_rows(kind):
    module, inputs = MODULES[kind]
    net = lift(module, {"*": N01}, name="net")
    drawn = draws(net, *inputs)
    arrays = [leaf for leaf in jax.tree.leaves(module) if eqx.is_inexact_array(leaf)]
    assert [v.shape for v in drawn.values()] == [leaf.shape for leaf in arrays]
    expected = jax.vmap(filled(module, {k[len("net.") :]: v for k, v in drawn.items()}))
    out = seed(substitute(net, data=drawn), 0)(*inputs)
    close(out, expected(*inputs))


@pytest.mark.parametrize("kind", ["mlp", "conv", "attention", "embedding", "lstm"])
def test_each_cell_of_plates_has_its_own_module(kind):
    module, inputs = MODULES[kind]
    net = lift(module, {"*": N01}, name="net")

    def model(*inputs):
        with numpyro.plate("outer", 3, dim=-2), numpyro.plate("inner", 2, dim=-1):
            return net(*inputs)

    drawn = draws(model, *inputs)
    out = seed(substitute(model, data=drawn), 0)(*inputs)
    for cell in np.ndindex(3, 2):
        values = {k[len("net.") :]: v[cell] for k, v in drawn.items()}
        expected = jax.vmap(filled(module, values))(*inputs)
        close(jax.tree.map(lambda y, c=cell: y[c], out), expected)


class Power(eqx.Module):
    exponent: jax.Array

    def __call__(self, x):
        return x**self.exponent


def test_numbers_as_parameters():
    net = lift(Power(jnp.ones(())), {"*": dist.LogNormal(0, 1)}, in_ndim=0, name="power")

    def model(x):
        with numpyro.plate("groups", 3):
            return net(x)

    x = jnp.array([0.5, 2.0])
    values = {"power.exponent": jnp.array([1.0, 2.0, 3.0])}
    out = seed(substitute(model, data=values), 0)(x)
    close(out, x ** jnp.array([[1.0], [2.0], [3.0]]))


def test_plates_that_only_one_input_has():
    """The state of each group's cell meets rows that all groups share."""
    module, (x, state) = MODULES["gru"]
    net = lift(module, {"*": N01}, name="net")
    states = jnp.stack([state, -state])

    def model(x, states):
        with numpyro.plate("groups", 2):
            return net(x, states)

    drawn = draws(model, x, states)
    out = seed(substitute(model, data=drawn), 0)(x, states)
    for g in range(2):
        values = {k[len("net.") :]: v[g] for k, v in drawn.items()}
        close(out[g], jax.vmap(filled(module, values))(x, states[g]))


def test_table_says_what_becomes_of_each_array():
    table = {
        "layers.0.weight": lambda shape: dist.Normal(0, shape[-1] ** -0.5),
        "*.weight": dist.MultivariateNormal(jnp.zeros(4), jnp.eye(4)),
        "layers.0.bias": None,
        "*.bias": constraints.positive,
    }
    module = eqx.tree_at(lambda m: m.layers[1].bias, MLP, jnp.array([0.5, 2.0]))
    sites = trace(seed(lift(module, table, name="net"), 0)).get_trace(X)
    first, second = sites["net.layers.0.weight"]["fn"], sites["net.layers.1.weight"]["fn"]
    assert (first.batch_shape, first.event_shape) == ((), (4, 3))
    np.testing.assert_allclose(first.variance, jnp.full((4, 3), 1 / 3), rtol=1e-6)
    assert (second.batch_shape, second.event_shape) == ((), (2, 4))
    optimized = sites["net.layers.1.bias"]
    assert optimized["type"] == "param"
    np.testing.assert_allclose(optimized["value"], [0.5, 2.0], rtol=1e-6)
    assert len(sites) == 3


def test_a_prior_may_depend_on_a_drawn_value():
    linear = eqx.nn.Linear(3, 1, key=KEY)

    def model(x):
        amplitude = numpyro.sample("amplitude", dist.HalfNormal(1.0))
        return lift(linear, {"*": dist.Normal(0, amplitude)}, name="f")(x)

    def log_density(amplitude):
        values = {
            "amplitude": amplitude,
            "f.weight": jnp.ones((1, 3)),
            "f.bias": jnp.ones(1),
        }
        sites = trace(seed(substitute(model, data=values), 0)).get_trace(X)
        return sum(site["fn"].log_prob(site["value"]).sum() for site in sites.values())

    def expected(amplitude):
        weights = dist.Normal(0, amplitude).log_prob(jnp.ones(4)).sum()
        return dist.HalfNormal(1.0).log_prob(amplitude) + weights

    found = jax.value_and_grad(log_density)(0.7)
    np.testing.assert_allclose(found, jax.value_and_grad(expected)(0.7), rtol=1e-5)


def test_svi_holds_no_copy_of_the_weights():
    net = lift(MLP, {"*": N01}, name="net")

    def model(x, y):
        numpyro.sample("y", dist.Normal(net(x), 1.0).to_event(2), obs=y)

    svi = SVI(model, AutoNormal(model), optax.adam(1e-2), Trace_ELBO())
    params = svi.get_params(svi.init(KEY, X, jnp.ones((5, 2))))
    assert all(name.endswith(("_auto_loc", "_auto_scale")) for name in params)
    assert not [leaf for leaf in jax.tree.leaves(net) if eqx.is_array(leaf)]


def test_frozen_arrays_get_no_gradient():
    net = lift(MLP, {"*.weight": N01, "*.bias": None}, name="net")
    drawn = draws(net, X)

    def total(net):
        return seed(substitute(net, data=drawn), 0)(X).sum()

    for leaf in jax.tree.leaves(eqx.filter_grad(total)(net)):
        np.testing.assert_array_equal(leaf, 0.0)


def test_draw_gives_the_module_for_any_other_use():
    """A cell run over time by `lax.scan`, against the same cell by a loop."""
    module = eqx.nn.GRUCell(3, 4, key=KEY)
    net = lift(module, {"*": N01}, name="cell")

    def model(xs):
        cell = net.draw()
        return jax.lax.scan(lambda h, x: (cell(x, h), None), jnp.zeros(4), xs)[0]

    drawn = draws(model, X)
    cell = filled(module, {k[len("cell.") :]: v for k, v in drawn.items()})
    h = jnp.zeros(4)
    for x in X:
        h = cell(x, h)
    close(seed(substitute(model, data=drawn), 0)(X), h)


def test_keys_differ_between_rows():
    dropout = eqx.nn.Sequential([eqx.nn.Linear(3, 50, key=KEY), eqx.nn.Dropout(0.5)])
    net = lift(dropout, {"*": N01}, name="net")
    out = seed(net, 0)(jnp.ones((4, 3)), key=jax.random.key(5))
    masks = np.asarray(out == 0)
    assert 0.3 < masks.mean() < 0.7  # false alarm 1e-8: 200 fair coins
    assert len({tuple(mask) for mask in masks}) == 4


@pytest.mark.parametrize("out_features", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_marginal_and_condition_are_those_of_a_dense_layer(out_features, bias):
    linear = eqx.nn.Linear(3, out_features, use_bias=bias, key=KEY)
    lifted = lift(linear, {"*": dist.Normal(0, 0.7)}, name="f")
    dense = DenseReparameterization(3, out_features, bias, prior_scale=0.7, name="f")
    y = jnp.sin(jnp.arange(5.0)) * jnp.ones((out_features, 1))
    y = y[0] if out_features == 1 else y
    for layer in (lifted, dense):
        assert layer.marginal(X, 0.3).batch_shape == (() if out_features == 1 else (2,))
    np.testing.assert_allclose(
        lifted.marginal(X, 0.3).log_prob(y), dense.marginal(X, 0.3).log_prob(y), rtol=1e-5
    )
    mine, other = lifted.condition(X, y, 0.3), dense.condition(X, y, 0.3)
    np.testing.assert_allclose(mine.weights.mean, other.weights.mean, atol=1e-5)
    # Draws of the weights are values of the module's sites.
    values = mine.sites(mine.weights.mean)
    loc = seed(substitute(lifted, data=values), 0)(X)
    expected = mine.marginal(X, 0.3).mean
    np.testing.assert_allclose(loc.T.reshape(expected.shape), expected, atol=1e-5)


def test_kinds():
    assert type(lift(MLP, {"*": N01})) is Lifted
    assert type(lift(eqx.nn.Linear(2, 1, key=KEY), {"*": N01})) is LiftedLinear
