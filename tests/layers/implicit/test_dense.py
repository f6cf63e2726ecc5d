"""Dense layers whose members share a weight: against as many dense layers."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers import layers

pytestmark = pytest.mark.usefixtures("as_users_run")

MEMBERS, ROWS, D_IN, D_OUT = 3, 5, 4, 2
KEY = jax.random.key(0)
X = np.asarray(jax.random.normal(KEY, (MEMBERS, ROWS, D_IN)))
LAYERS = {
    "batch": layers.DenseBatchEnsemble(D_IN, D_OUT, MEMBERS, prior_scale=0.7, name="f"),
    "rank1": layers.DenseRank1(D_IN, D_OUT, MEMBERS, prior_scale=0.7, name="f"),
}


def values_of(layer, x=X):
    sites = trace(seed(layer, 0)).get_trace(x)
    return {name: site["value"] for name, site in sites.items()}


def dense_layers(values, x):
    """Each member as a dense layer with a weight matrix of its own."""
    weight = values["f.weight"] * jnp.einsum("ei,eo->eio", values["f.r"], values["f.s"])
    return jnp.einsum("eni,eio->eno", x, weight) + values["f.bias"][:, None]


@pytest.mark.parametrize("name", LAYERS)
def test_members_are_dense_layers_of_weights_of_rank_one(name):
    """Outputs and gradients by every site and the input."""
    layer = LAYERS[name]
    values = values_of(layer)
    assert {n: v.shape for n, v in values.items()} == {
        "f.weight": (D_IN, D_OUT),
        "f.r": (MEMBERS, D_IN),
        "f.s": (MEMBERS, D_OUT),
        "f.bias": (MEMBERS, D_OUT),
    }
    ours = lambda values, x: seed(substitute(layer, data=values), 0)(x)
    energy = lambda f: lambda values, x: (f(values, x) * jnp.cos(jnp.arange(2.0))).sum()

    @jax.jit
    def both(values, x):
        return [
            (f(values, x), jax.grad(lambda *a, f=f: energy(f)(*a) ** 2, (0, 1))(values, x))
            for f in (ours, dense_layers)
        ]

    found, expected = both(values, X)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_no_member_has_a_weight_of_its_own(name):
    """No array of forward and backward pass is as large as the members' weights."""
    wide = 64
    layer = type(LAYERS[name])(wide, wide, 8, name="f")
    x = jnp.ones((8, 2, wide))
    values = {
        n: jnp.ones(v.shape) for n, v in jax.eval_shape(lambda: values_of(layer, x)).items()
    }

    def loss(values):
        return jnp.sum(seed(substitute(layer, data=values), 0)(x) ** 2)

    has_program = lambda value: hasattr(value, "jaxpr")

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            yield from (var.aval.size for var in equation.outvars)
            for inner in jax.tree.leaves(equation.params, is_leaf=has_program):
                if has_program(inner):
                    yield from sizes(inner.jaxpr)

    assert max(sizes(jax.make_jaxpr(jax.grad(loss))(values).jaxpr)) == wide * wide


def test_members_start_apart():
    """At signs, or around ones."""
    signs = values_of(LAYERS["batch"])["f.r"]
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert len(np.unique(signs, axis=0)) == MEMBERS
    wide = layers.DenseBatchEnsemble(400, 400, MEMBERS, start=0.1, name="f")
    r = values_of(wide, jnp.ones((MEMBERS, 1, 400)))["f.r"]
    # Of 1200 normal numbers; five standard errors.
    assert abs(r.mean() - 1.0) < 5 * 0.1 / 1200**0.5
    assert abs(r.std() - 0.1) < 5 * 0.1 / 2400**0.5


def test_priors_of_rank_one():
    """The log density of the sites is that of their priors, by SciPy."""
    locs = np.array([[1.0], [-1.0], [0.5]])
    layer = layers.DenseRank1(
        D_IN, D_OUT, MEMBERS, dist.Normal(locs, 0.1), dist.StudentT(4.0, 1.0, 0.2), name="f"
    )
    values = {n: np.asarray(v) for n, v in values_of(layer).items()}
    found, _ = log_density(seed(layer, 0), (X,), {}, values)
    expected = (
        scipy.stats.norm.logpdf(values["f.weight"]).sum()
        + scipy.stats.norm.logpdf(values["f.bias"]).sum()
        + scipy.stats.norm.logpdf(values["f.r"], locs, 0.1).sum()
        + scipy.stats.t.logpdf(values["f.s"], 4.0, 1.0, 0.2).sum()
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_default_priors_of_rank_one():
    sites = trace(seed(LAYERS["rank1"], 0)).get_trace(X)
    for site in ("f.r", "f.s"):
        np.testing.assert_allclose(sites[site]["fn"].mean, 1.0)
        np.testing.assert_allclose(sites[site]["fn"].variance, 0.25)
    np.testing.assert_allclose(sites["f.weight"]["fn"].variance, 0.49)


def test_rows_of_a_member_are_independent():
    layer, values = LAYERS["batch"], values_of(LAYERS["batch"])
    apply = lambda x: seed(substitute(layer, data=values), 0)(x)
    together = apply(X)
    np.testing.assert_allclose(apply(X[:, 1:2]), together[:, 1:2], rtol=1e-5)
    deeper = apply(X.reshape(MEMBERS, 5, 1, D_IN))
    np.testing.assert_allclose(deeper[:, :, 0], together, rtol=1e-5)


def test_tile_members():
    x = X[0]
    tiled = layers.tile_members(x, 3)
    np.testing.assert_array_equal(tiled, np.stack([x, x, x]))
    np.testing.assert_array_equal(layers.tile_members(X, 2), np.stack([X, X]))
    with numpyro.plate("groups", MEMBERS):
        inside = layers.tile_members(X, 2)
    np.testing.assert_array_equal(inside, np.stack([X, X], axis=1))


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        (
            (6, D_IN),
            r"got shape \(6, 4\). For the same rows in each member: tile_members\(x, 3",
        ),
        ((3, D_IN), r"must have the shape \(3, rows, features\)"),
        ((2, 5, D_IN), "one block of rows for each of the 3 members"),
    ],
)
def test_rows_without_members_are_refused(shape, hint):
    """Also where their number would divide."""
    for layer in (*LAYERS.values(), layers.LayerNormEnsemble(D_IN, MEMBERS)):
        with pytest.raises(ValueError, match=hint):
            seed(layer, 0)(jnp.ones(shape))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: layers.tile_members(X[0, 0], 3),
            ValueError,
            "`x` must have an axis of rows",
        ),
        (lambda: layers.tile_members(X, 0), ValueError, "`num_members` must be a positive"),
        (lambda: layers.DenseBatchEnsemble(4, 2, 0), ValueError, "`num_members` must be"),
        (
            lambda: layers.DenseBatchEnsemble(4, 2, 3, start="ones"),
            ValueError,
            "`start` must be a positive number or 'signs', got 'ones'",
        ),
        (
            lambda: layers.DenseRank1(4, 2, 3, 1.0),
            TypeError,
            "`prior_r` must be a distribution",
        ),
        (
            lambda: layers.DenseRank1(4, 2, 3, None, dist.HalfNormal(1.0)),
            ValueError,
            "`prior_s` must be a distribution of real numbers",
        ),
        (
            lambda: layers.DenseRank1(4, 2, 3, dist.Normal(jnp.ones(3), 1.0)),
            ValueError,
            r"`prior_r` must be one .* expand to the shape \(3, 4\)",
        ),
    ],
)
def test_wrong_settings(make, error, match):
    with pytest.raises(error, match=match):
        make()
