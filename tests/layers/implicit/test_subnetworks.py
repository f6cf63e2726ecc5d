"""Members that are parts of a network: masks, and several inputs at once."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers import layers

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("members", "scale", "features"),
    [(4, 2.0, 600), (8, 3.0, 500), (4, 1.0, 10), (4, 1e6, 400), (3, 1.5, 7), (1, 2.0, 5)],
)
def test_masks(members, scale, features):
    """As many ones in each, every feature in one, and the overlap that the scale says."""
    layer = layers.Masksembles(members, scale, features, key=KEY)
    masks = np.asarray(layer.masks)
    assert masks.shape == (members, features)
    assert masks.any(0).all()
    ones = masks.sum(1)
    assert (ones == layer.num_ones).all()
    # The number of positions that masks of so many ones use, in expectation.
    used = ones[0] * scale * (1 - (1 - 1 / scale) ** members)
    assert abs(used - features) <= members / 2 or ones[0] * members - features < members
    if features < 400 or members == 1:
        return
    pairs = list(itertools.combinations(masks, 2))
    shared = np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs])
    # The mean of six pairs or more has a standard deviation below 0.01 here.
    assert abs(shared - 1 / (2 * scale - 1)) < 0.04


def test_masks_hide_features_of_members():
    layer = layers.Masksembles(3, 2.0, 8, key=KEY)
    x = np.asarray(jax.random.normal(KEY, (3, 2, 5, 8)))
    masks = np.asarray(layer.masks)[:, None, None]
    np.testing.assert_array_equal(layer(x), np.where(masks, x, 0.0))
    again = layers.Masksembles(3, 2.0, 8, key=KEY)
    other = layers.Masksembles(3, 2.0, 8, key=jax.random.key(1))
    np.testing.assert_array_equal(again.masks, layer.masks)
    assert (other.masks != layer.masks).any()


def test_mimo_reads_each_members_input_and_gives_its_output():
    """A network that keeps members apart is as many networks."""
    x = np.asarray(jax.random.normal(KEY, (5, 2, 3)))
    weights = np.asarray(jax.random.normal(KEY, (2, 3, 4)))
    blocks = np.zeros((6, 8), np.float32)
    blocks[:3, :4], blocks[3:, 4:] = weights
    out = layers.MIMO(2)(lambda rows: rows @ blocks, x)
    np.testing.assert_allclose(out, np.einsum("nei,eio->eno", x, weights), rtol=1e-5)


def test_groups_of_mimo():
    mimo = layers.MIMO(3)
    x = np.arange(200.0).reshape(100, 2)
    y = x[:, 0] * 10
    repeated = mimo.group(x)
    np.testing.assert_array_equal(repeated, np.stack([x, x, x], axis=1))
    grouped, outcomes = mimo.group(x, y, key=KEY, share=0.2)
    assert grouped.shape == (100, 3, 2) and outcomes.shape == (100, 3)
    np.testing.assert_array_equal(grouped[..., 0] * 10, outcomes)
    for e in range(3):  # each member sees each row once
        np.testing.assert_array_equal(np.sort(outcomes[:, e]), y)
    common = int((outcomes == outcomes[:, :1]).all(1).sum())
    # A fifth, and by chance one in 80^2 of the others: at most one more in 80 groups, but
    # with probability below 1e-4.
    assert 20 <= common <= 21


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: layers.Masksembles(4, 0.5, 8, key=KEY), "`scale` must be at least 1"),
        (
            lambda: layers.Masksembles(4, 2.0, 8, key=KEY)(jnp.ones((12, 8))),
            r"must have the shape \(4, rows, features\)",
        ),
        (
            lambda: layers.MIMO(2)(jnp.tanh, jnp.ones((6, 3))),
            r"must have the shape \(rows, 2, features\)",
        ),
        (
            lambda: layers.MIMO(2)(lambda x: x[..., :3], jnp.ones((5, 2, 3))),
            "`network` must have a multiple of 2 outputs",
        ),
        (lambda: layers.MIMO(2).group(jnp.ones(3), share=1.5), "`share` must be a number"),
        (lambda: layers.MIMO(2).group(jnp.ones(3), jnp.ones(4)), "same length|rows"),
    ],
)
def test_wrong_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
