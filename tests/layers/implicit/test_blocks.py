"""Layer normalization and attention of members: against Equinox, member by member."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace

from numpyro_bayeslayers import layers

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)
MEMBERS, ROWS, TOKENS, SIZE = 2, 3, 5, 6
X = np.asarray(jax.random.normal(KEY, (MEMBERS, ROWS, TOKENS, SIZE)))


def moved(layer, *inputs):
    """Values of the sites, away from where parameters start."""
    sites = trace(seed(layer, 0)).get_trace(*inputs)
    rng = np.random.default_rng(0)
    return {
        name: site["value"] + rng.normal(size=site["value"].shape).astype(np.float32)
        for name, site in sites.items()
    }


def test_layer_norm_is_that_of_each_member():
    layer = layers.LayerNormEnsemble(SIZE, MEMBERS, eps=1e-3, name="f")
    values = moved(layer, X)
    out = seed(substitute(layer, data=values), 0)(X)
    for e in range(MEMBERS):
        plain = eqx.nn.LayerNorm(SIZE, eps=1e-3)
        plain = eqx.tree_at(
            lambda m: (m.weight, m.bias),
            plain,
            (values["f.weight"][e], values["f.bias"][e]),
        )
        expected = jax.vmap(jax.vmap(plain))(X[e])
        np.testing.assert_allclose(out[e], expected, rtol=1e-4, atol=1e-5)


def test_layer_norm_starts_as_one_without_scale():
    layer = layers.LayerNormEnsemble(SIZE, MEMBERS, name="f")
    out = seed(layer, 0)(X)
    np.testing.assert_allclose(out.mean(-1), 0.0, atol=1e-5)
    np.testing.assert_allclose(out.std(-1), 1.0, rtol=1e-3)


def member(values, e):
    """Equinox's attention with the weights of one member."""

    def weight(name):
        v = {s: np.asarray(values[f"f.{name}.{s}"]) for s in ("weight", "r", "s")}
        return (v["weight"] * np.outer(v["r"][e], v["s"][e])).T

    names = ("query", "key", "value", "output")
    plain = eqx.nn.MultiheadAttention(
        2,
        SIZE,
        output_size=4,
        qk_size=3,
        vo_size=3,
        use_query_bias=True,
        use_key_bias=True,
        use_value_bias=True,
        use_output_bias=True,
        key=KEY,
    )
    parts = lambda m: [getattr(m, f"{n}_proj") for n in names]
    return eqx.tree_at(
        lambda m: [p.weight for p in parts(m)] + [p.bias for p in parts(m)],
        plain,
        [weight(n) for n in names] + [values[f"f.{n}.bias"][e] for n in names],
    )


def test_attention_is_that_of_each_member():
    """With keys, values and a mask of their own."""
    layer = layers.MultiHeadAttentionBatchEnsemble(
        2, SIZE, MEMBERS, out_features=4, head_features=3, name="f"
    )
    keys, found = X[:, :, ::-1] * 0.5, X[:, :, :4] + 1.0
    keys = keys[:, :, :4]
    mask = np.tril(np.ones((TOKENS, 4), bool))
    values = moved(layer, X)
    out = jax.jit(seed(substitute(layer, data=values), 0))(X, keys, found, mask)
    assert out.shape == (MEMBERS, ROWS, TOKENS, 4)
    for e in range(MEMBERS):
        plain = lambda q, k, v, e=e: member(values, e)(q, k, v, mask)
        expected = jax.jit(jax.vmap(plain))(X[e], keys[e], found[e])
        np.testing.assert_allclose(out[e], expected, rtol=1e-3, atol=1e-4)


def test_attention_to_oneself_and_its_other_name():
    assert layers.MultiHeadAttentionBE is layers.MultiHeadAttentionBatchEnsemble
    layer = layers.MultiHeadAttentionBE(2, SIZE, MEMBERS, bias=False, name="f")
    apply = seed(substitute(layer, data=moved(layer, X)), 0)
    np.testing.assert_allclose(apply(X), apply(X, X, X), rtol=1e-5)
    assert "f.query.bias" not in trace(seed(layer, 0)).get_trace(X)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: layers.MultiHeadAttentionBE(4, SIZE, MEMBERS),
            "`in_features` must be a multiple of `num_heads`=4, got 6",
        ),
        (
            lambda: layers.LayerNormEnsemble(SIZE, MEMBERS, eps=0.0),
            "`eps` must be positive",
        ),
        (
            lambda: seed(layers.MultiHeadAttentionBE(2, SIZE, 3), 0)(jnp.ones((5, SIZE))),
            "`query` .*: one block of rows for each of the 3 members",
        ),
    ],
)
def test_wrong_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
