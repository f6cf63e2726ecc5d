"""Lifted modules whose parts are batch ensembles: against as many modules, changed by hand."""

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

from numpyro_bayeslayers.handlers import flipout
from numpyro_bayeslayers.layers import Lifted, lift

KEY = jax.random.key(0)
N01 = dist.Normal(0, 1)
X = jax.random.normal(jax.random.key(1), (2, 5, 3))
IMAGES = jax.random.normal(jax.random.key(2), (2, 3, 2, 6))


class Block(eqx.Module):
    """A convolution, a norm of its pixels, and a linear map at each pixel."""

    conv: eqx.nn.Conv1d
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self):
        self.conv = eqx.nn.Conv1d(2, 4, 3, padding=1, groups=2, key=KEY)
        self.norm = eqx.nn.LayerNorm(4)
        self.head = eqx.nn.Linear(4, 3, key=KEY)

    def __call__(self, x):
        return jax.vmap(lambda pixel: self.head(self.norm(pixel)))(jnp.tanh(self.conv(x)).T)


MODULES = {
    "mlp": (eqx.nn.MLP(3, 2, 4, 1, key=KEY), X, {}),
    "block": (Block(), IMAGES, {"in_ndim": 2}),
    "transposed": (eqx.nn.ConvTranspose1d(2, 3, 3, stride=2, key=KEY), IMAGES, {}),
    "without bias": (eqx.nn.Linear(3, 2, use_bias=False, key=KEY), X, {}),
}


def values_of(net, x):
    sites = trace(seed(net, 0)).get_trace(x)
    return {name: site["value"] for name, site in sites.items()}


def by_hand(module, values, e):
    """Member `e`: weights times outer products of vectors, biases of its own."""

    def place(keys):
        return jax.tree_util.keystr(keys, simple=True, separator=".")

    def changed(keys, leaf):
        path = f"net.{place(keys)}"
        value = values.get(path, leaf)
        parent, _, name = path.rpartition(".")
        if f"{parent}.r" not in values:
            return value
        if name == "bias":
            return value[e]
        r, s = (values[f"{parent}.{v}"][e] for v in "rs")
        # Equinox's weights are (out, in / groups, *kernel).
        groups = len(r) // leaf.shape[1]
        own = jnp.repeat(r.reshape(groups, -1), len(s) // groups, axis=0)
        outer = s[:, None] * own
        return value * outer.reshape(outer.shape + (1,) * (leaf.ndim - 2))

    arrays, rest = eqx.partition(module, eqx.is_inexact_array)
    return eqx.combine(jax.tree_util.tree_map_with_path(changed, arrays), rest)


@pytest.mark.parametrize("name", MODULES)
def test_members_are_modules_of_weights_of_rank_one(name):
    """Outputs, and gradients of what the members share."""
    module, x, options = MODULES[name]
    net = lift(module, {"*": N01}, batch_ensemble=2, name="net", **options)
    assert type(net) is Lifted
    values = values_of(net, x)
    shared = {n: v for n, v in values.items() if n.endswith("weight")}

    def ours(shared):
        return seed(substitute(net, data=values | shared), 0)(x)

    def theirs(shared):
        members = [by_hand(module, values | shared, e) for e in range(2)]
        return jnp.stack([jax.vmap(m)(x[e]) for e, m in enumerate(members)])

    @jax.jit
    def both(shared):
        loss = lambda f: lambda v: jnp.sum(f(v) ** 2)
        return [(f(shared), jax.grad(loss(f))(shared)) for f in (ours, theirs)]

    found, expected = map(jax.tree.leaves, both(shared))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_what_members_have_of_their_own():
    module, x, options = MODULES["block"]
    table = {
        "conv.bias": None,
        "head.bias": constraints.real,
        "norm.*": N01,
        "*": lambda shape: dist.Normal(0, shape[-1] ** -0.5),
    }
    net = lift(module, table, batch_ensemble=2, name="net", **options)
    values = values_of(net, x)
    assert {n[len("net.") :]: v.shape for n, v in values.items()} == {
        "conv.weight": (4, 1, 3),
        "norm.weight": (4,),
        "norm.bias": (4,),
        "head.weight": (3, 4),
        "head.bias": (2, 3),
        "conv.r": (2, 2),
        "conv.s": (2, 4),
        "head.r": (2, 4),
        "head.s": (2, 3),
    }
    assert net.frozen["conv.bias"].shape == (4, 1)
    np.testing.assert_array_equal(values["net.head.bias"][1], module.head.bias)
    assert set(np.unique(values["net.head.r"])) == {-1.0, 1.0}
    assert seed(net, 0)(x).shape == (2, 3, 6, 3)


def test_plates_have_ensembles_of_their_own():
    net = lift(MODULES["mlp"][0], {"*": N01}, batch_ensemble=2, name="net")

    def model(x):
        with numpyro.plate("groups", 3):
            return net(x)

    values = values_of(model, X)
    values = {n: v for n, v in values.items() if n.startswith("net.")}
    out = seed(substitute(model, data=values), 0)(X)
    assert out.shape == (3, 2, 5, 2)
    one = {n: v[1] for n, v in values.items()}
    np.testing.assert_allclose(out[1], seed(substitute(net, data=one), 0)(X), rtol=1e-5)


@pytest.mark.slow
def test_flipout_sees_the_products_of_all_members():
    """A weight that it cannot reach would be named in a warning, which is an error here."""
    module, x, options = MODULES["block"]
    net = lift(module, {"*": N01}, batch_ensemble=2, name="net", **options)

    def model(x):
        numpyro.sample(
            "y", dist.Normal(net(x), 1.0).to_event(4), obs=jnp.zeros((2, 3, 6, 3))
        )

    losses = {}
    for name, estimate in (("plain", lambda m: m), ("flipout", flipout)):
        svi = SVI(estimate(model), AutoNormal(model), optax.adam(0.1), Trace_ELBO())
        state = svi.init(KEY, x)
        losses[name] = float(svi.evaluate(state, x))
    assert np.isfinite(list(losses.values())).all()
    assert losses["plain"] != losses["flipout"]


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: lift(eqx.nn.GRUCell(3, 4, key=KEY), {"*": N01}, batch_ensemble=2),
            "`batch_ensemble` must be None for this module",
        ),
        (
            lambda: lift(MODULES["mlp"][0], {"*": N01}, batch_ensemble=0),
            "`batch_ensemble` must be a positive integer",
        ),
        (
            lambda: seed(lift(MODULES["mlp"][0], {"*": N01}, batch_ensemble=2), 0)(X[0]),
            r"must be the 2 members .* got batch axes \(5,\).*tile_members\(x, 2\)",
        ),
        (
            lambda: lift(MODULES["mlp"][0], {"*": N01}, batch_ensemble=2).draw(),
            "`draw` gives one module, but a batch ensemble has one for each member",
        ),
    ],
)
def test_wrong_use(make, match):
    with pytest.raises(ValueError, match=match):
        make()
