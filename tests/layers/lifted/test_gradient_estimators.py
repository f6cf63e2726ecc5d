"""Gradient estimators of lifted modules, against the covariances that a weight draw implies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import replay, seed, trace
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.handlers import flipout, local_reparameterization
from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.layers import lift
from tests.quick import mostly_slow

KEY = jax.random.key(0)
N01 = dist.Normal(0, 1)
SCALE = 0.4
DRAWS = 4000
EYE = jnp.eye(3)
SQUARE = jax.random.normal(jax.random.key(2), (4, 3))
SIGNAL = jax.random.normal(jax.random.key(1), (3, 2, 4))  # rows, channels, pixels


class Positions(eqx.Module):
    """One linear map at each position of a sequence."""

    linear: eqx.nn.Linear

    def __call__(self, x):
        return jax.vmap(self.linear)(x)


CONVOLUTION = eqx.nn.Conv1d(2, 1, 2, use_bias=False, key=KEY)
POSITIONS = Positions(eqx.nn.Linear(2, 1, use_bias=False, key=KEY))
TABLE = eqx.nn.Embedding(4, 2, key=KEY)
# Module, its input of 3 rows, and whether a row uses the weight several times.
MODULES = {
    "linear": (eqx.nn.Linear(2, 2, use_bias=False, key=KEY), SIGNAL[..., 0], False),
    "convolution": (CONVOLUTION, SIGNAL, True),
    "positions": (POSITIONS, jnp.swapaxes(SIGNAL, 1, 2), True),
    "embedding": (TABLE, jnp.array([1, 1, 3]), False),
}
IN_NDIM = {"positions": 2}


def outputs(kind, estimator):
    """Outputs (DRAWS, 3, features), each with weights drawn from one guide."""
    module, x, _ = MODULES[kind]
    net = lift(module, {"*": N01}, in_ndim=IN_NDIM.get(kind), name="f")
    name = next(iter(trace(seed(net, 0)).get_trace(x)))
    weight = jax.tree.leaves(module)[0]
    guide = dist.Normal(weight, SCALE).to_event(weight.ndim)

    def one(key):
        key, draw = jax.random.split(key)
        guided = trace(seed(numpyro.sample, draw)).get_trace(name, guide)
        return replay(seed(estimator(net), key), guided)(x).reshape(3, -1)

    mean = jax.vmap(module)(x).reshape(3, -1)
    return jax.vmap(one)(jax.random.split(KEY, DRAWS)), mean


def jacobian(kind):
    """How each row's outputs depend on the weight, (3, features, size)."""
    module, x, _ = MODULES[kind]
    leaves, structure = jax.tree.flatten(module)

    def output(weight):
        filled = jax.tree.unflatten(structure, [weight, *leaves[1:]])
        return jax.vmap(filled)(x).reshape(3, -1)

    jac = jax.jacobian(output)(leaves[0])
    return jac.reshape(jac.shape[:2] + (-1,))


def covariance(draws, mean):
    """(3, features, 3, features), with the standard error of each entry at most 5% of it."""
    centred = draws - mean
    return jnp.einsum("dnf,dmg->nfmg", centred, centred) / len(draws)


@pytest.mark.parametrize("kind", MODULES)
def test_flipout_keeps_a_rows_law_and_parts_the_rows(kind):
    """Within a row the covariance of one weight draw, also between pixels; 0 between rows.

    Entries are averages of 4000 products: 6 standard errors, false alarm below 1e-6 in all.
    """
    draws, mean = outputs(kind, flipout)
    jac = jacobian(kind)
    found = covariance(draws, mean)
    implied = SCALE**2 * jnp.einsum("nfs,mgs->nfmg", jac, jac)
    same_row = jnp.eye(3)[:, None, :, None]
    expected = implied * same_row
    std = jnp.sqrt(jnp.einsum("nfnf->nf", implied))
    tolerance = 6 * jnp.sqrt(3 / DRAWS) * std[:, :, None, None] * std
    assert (abs(found - expected) < tolerance + 1e-6).all(), (found, expected)


def test_plain_draws_do_not_part_the_rows():
    """The test above can fail: without the handler two equal categories share their draw."""
    draws, mean = outputs("embedding", lambda net: net)
    found = covariance(draws, mean)
    assert abs(found[0, 0, 1, 0] - SCALE**2) < 6 * SCALE**2 * np.sqrt(2 / DRAWS)


@pytest.mark.parametrize("kind", [k for k, (_, _, shared) in MODULES.items() if not shared])
def test_local_reparameterization_has_the_rows_moments(kind):
    draws, mean = outputs(kind, local_reparameterization)
    variance = SCALE**2 * jnp.square(jacobian(kind)).sum(-1)
    error = abs(draws.var(0) - variance) / variance
    assert (error < 6 * np.sqrt(2 / DRAWS)).all()  # false alarm 1e-8 for 6 entries
    assert (abs(draws.mean(0) - mean) < 6 * jnp.sqrt(variance / DRAWS)).all()


def problem(module, x, in_ndim=None, **keywords):
    net = lift(module, {"*": N01}, in_ndim=in_ndim, name="net")

    def model(x):
        f = net(x, **keywords)
        numpyro.sample("y", dist.Normal(f, 1.0).to_event(f.ndim), obs=jnp.ones(f.shape))

    return model, x


def train(estimator, model, *args):
    svi = SVI(estimator(model), AutoNormal(model), optax.adam(0.05), Trace_ELBO())
    start, update = jax.jit(svi.init)(KEY, *args), jax.jit(svi.update)
    state, first = update(start, *args)
    for _ in range(3):
        state, last = update(state, *args)
    assert np.isfinite([first, last]).all()


@pytest.mark.parametrize("kind", [k for k, (_, _, shared) in MODULES.items() if shared])
def test_local_reparameterization_says_what_shares_a_draw(kind):
    module, x, _ = MODULES[kind]
    with pytest.warns(UserWarning, match="a row uses it in several places"):
        train(local_reparameterization, *problem(module, x, IN_NDIM.get(kind)))


class Unreached(eqx.Module):
    """A linear map in a program of its own within the module."""

    linear: eqx.nn.Linear
    how: str

    def __call__(self, x):
        if self.how == "scan":
            return jax.lax.scan(lambda h, _: (self.linear(h), None), x, None, length=3)[0]
        if self.how == "jit":
            return eqx.filter_jit(self.linear)(x)
        if self.how == "jvp":
            return jax.jvp(self.linear, (x,), (x,))[1]
        if self.how == "positions":
            return jax.grad(lambda x: jnp.tanh(jax.vmap(self.linear)(x)).sum())(x * EYE)
        return jax.grad(lambda x: jnp.tanh(self.linear(x)).sum())(x)


@pytest.mark.parametrize(
    "how", mostly_slow(["scan", "jit", "grad", "positions"], {"jit", "scan"})
)
@pytest.mark.parametrize("estimator", [flipout, local_reparameterization])
def test_what_no_estimator_reaches_is_named_and_plain(how, estimator):
    module = Unreached(eqx.nn.Linear(3, 3, key=KEY), how)
    model, x = problem(module, jnp.ones((4, 3)))
    with pytest.warns(UserWarning, match="left out net.linear.weight: it is used inside"):
        train(estimator, model, x)


@pytest.mark.parametrize("how", ["scan", "jit", "grad", "jvp", "positions"])
def test_transformed_products_keep_their_value(how):
    module = Unreached(eqx.nn.Linear(3, 3, key=KEY), how)
    net = lift(module, {"*": N01}, name="net")
    drawn = trace(seed(net, 0)).get_trace(SQUARE)
    values = [drawn[f"net.linear.{leaf}"]["value"] for leaf in ("weight", "bias")]
    expected = eqx.tree_at(lambda m: [m.linear.weight, m.linear.bias], module, values)
    out = seed(net, 0)(SQUARE)
    np.testing.assert_allclose(out, jax.vmap(expected)(SQUARE), atol=1e-6)


class Stacked(eqx.Module):
    """Layers of one shape, their weights stacked, applied one after the other."""

    layers: eqx.nn.Linear
    how: str

    def __call__(self, x):
        if self.how == "scan":
            arrays, rest = eqx.partition(self.layers, eqx.is_array)

            def step(h, layer):
                return jnp.tanh(eqx.combine(layer, rest)(h)), None

            return jax.lax.scan(step, x, arrays)[0]
        if self.how == "vmap":
            return eqx.filter_vmap(lambda layer: layer(x))(self.layers).sum(0)
        pick = [
            jax.tree.map(lambda w, i=i: w[i] if eqx.is_array(w) else w, self.layers)
            for i in range(2)
        ]
        return pick[1](pick[0](x))


@pytest.mark.parametrize("how", ["scan", "vmap", "index"])
def test_stacked_weights(how):
    layers = eqx.filter_vmap(lambda key: eqx.nn.Linear(3, 3, key=key))(
        jax.random.split(KEY, 2)
    )
    module = Stacked(layers, how)
    net = lift(module, {"*": N01}, name="net")
    drawn = trace(seed(net, 0)).get_trace(SQUARE)
    values = [drawn[f"net.layers.{leaf}"]["value"] for leaf in ("weight", "bias")]
    expected = eqx.tree_at(lambda m: [m.layers.weight, m.layers.bias], module, values)
    np.testing.assert_allclose(seed(net, 0)(SQUARE), jax.vmap(expected)(SQUARE), atol=1e-6)
    model, x = problem(module, SQUARE)
    with pytest.warns(UserWarning, match="left out net.layers.weight: it is used inside"):
        train(flipout, model, x)


class Twice(eqx.Module):
    linear: eqx.nn.Linear

    def __call__(self, x):
        return self.linear(x) + eqx.filter_jit(self.linear)(x)


def test_a_weight_seen_in_one_place_only_is_refused():
    model, x = problem(Twice(eqx.nn.Linear(3, 3, key=KEY)), jnp.ones((4, 3)))
    train(lambda model: model, model, x)
    with pytest.raises(ValueError, match=r"'net.linear.weight' is used twice, and one use"):
        train(flipout, model, x)


def test_what_belongs_to_no_linear_module_is_named():
    net = lift(eqx.nn.GRUCell(3, 4, key=KEY), {"*": N01}, name="cell")

    def called(x):
        f = net(x, jnp.zeros((5, 4)))
        numpyro.sample("y", dist.Normal(f, 1.0).to_event(2), obs=jnp.ones((5, 4)))

    def drawn(x):
        f = jax.vmap(net.draw())(x, jnp.zeros((5, 4)))
        numpyro.sample("y", dist.Normal(f, 1.0).to_event(2), obs=jnp.ones((5, 4)))

    for model, reason in (called, "a linear module"), (drawn, "by `draw`"):
        message = f"left out cell.weight_hh, cell.weight_ih: .*{reason}"
        with pytest.warns(UserWarning, match=message):
            train(flipout, model, jnp.ones((5, 3)))


def test_flipout_in_an_ensemble():
    """Members of one start but own keys differ, and the flips do not warn or fail."""
    module, x, _ = MODULES["convolution"]
    model, x = problem(module, x)
    ens = EnsembleSVI(flipout(model), AutoNormal, optax.adam(0.05), num_members=3)
    result = ens.run(KEY, 20, x, progress_bar=False)
    losses = np.asarray(result.losses)
    assert np.isfinite(losses).all()
    assert len(np.unique(result.params["net.weight_auto_loc"][:, 0, 0, 0])) == 3


def test_flipout_in_a_plate():
    """Each cell has its own draw and signs; the value of cell g is near its own mean."""
    net = lift(eqx.nn.Linear(2, 1, use_bias=False, key=KEY), {"*": N01}, name="f")
    x = SIGNAL[..., 0]
    loc = jnp.array([1.0, -1.0])[:, None, None] * jnp.ones((2, 1, 2))
    guide = dist.Normal(loc, SCALE).to_event(2)

    def model():
        with numpyro.plate("groups", 2):
            return net(x)

    def one(key):
        key, draw = jax.random.split(key)
        guided = trace(seed(numpyro.sample, draw)).get_trace("f.weight", guide)
        return replay(seed(flipout(model), key), guided)()

    draws = jax.vmap(one)(jax.random.split(KEY, DRAWS))[..., 0]
    mean = jnp.einsum("goi,ni->gn", loc, x)
    std = SCALE * jnp.linalg.norm(x, axis=-1)
    # 6 standard errors for 6 means and 6 variances: false alarm 1e-7.
    assert (abs(draws.mean(0) - mean) < 6 * std / np.sqrt(DRAWS)).all()
    assert (abs(draws.var(0) / std**2 - 1) < 6 * np.sqrt(2 / DRAWS)).all()
