"""Rows of several categories, and sparse interactions, against loops; errors."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed

from numpyro_bayeslayers.layers import (
    HorseshoeInteractionLayer,
    HorseshoeLayer,
    MultiMembershipLayer,
)

from .draws import run

RNG = np.random.default_rng(0)
MEMBERS = np.array([[0, 2], [1, 1], [3, 0]])
WEIGHTS = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
X, Z = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))


def test_rows_are_weighted_sums_of_their_members():
    out, v, sites = run(MultiMembershipLayer(), MEMBERS, WEIGHTS, num_categories=4, units=2)
    assert list(sites) == ["a.scale", "a.theta_base", "a.theta"]
    assert v["scale"].shape == (2,)
    np.testing.assert_allclose(v["theta"], v["scale"] * v["theta_base"], rtol=1e-9)
    expected = [
        sum(w * v["theta"][g] for g, w in zip(*row, strict=True))
        for row in zip(MEMBERS, WEIGHTS, strict=True)
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_rows_in_other_shapes():
    call = lambda *args: seed(MultiMembershipLayer(), 0)("a", *args, 4)
    several = call(MEMBERS, jnp.stack([WEIGHTS, 2 * WEIGHTS]))
    np.testing.assert_allclose(several[0], call(MEMBERS, WEIGHTS), rtol=1e-6)
    np.testing.assert_allclose(several[1], 2 * several[0], rtol=1e-6)


@pytest.mark.parametrize("has_z", [False, True])
def test_interactions_are_those_of_their_pairs(has_z):
    layer = HorseshoeInteractionLayer(slab_scale=2.0)
    out, v, _ = run(layer, X, *([Z] if has_z else []), units=2)
    pairs = [(0, 1), (0, 2), (1, 2)]
    if has_z:
        pairs = [(i, j) for i in range(3) for j in range(2)]
    other = Z if has_z else X
    expected = sum(
        np.outer(X[:, i] * other[:, j], v["beta"][k]) for k, (i, j) in enumerate(pairs)
    )
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-9)


def test_the_prior_is_the_horseshoes():
    """As many columns as pairs: the same sites, at the same values."""
    _, v, sites = run(HorseshoeInteractionLayer(slab_scale=2.0), X)
    _, plain, plain_sites = run(HorseshoeLayer(slab_scale=2.0), X)
    assert sites == plain_sites
    for name, value in v.items():
        np.testing.assert_array_equal(value, plain[name])


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda f: f("a", MEMBERS, -WEIGHTS, 4),
            ValueError,
            "`weights` of.*got -0.25",
        ),
        (
            lambda f: f("a", MEMBERS, WEIGHTS / 0.0, 4),
            ValueError,
            "`weights` of.* finite, got inf",
        ),
        (
            lambda f: f("a", MEMBERS, WEIGHTS[:, :1], 4),
            ValueError,
            "`members` and `weights`",
        ),
        (
            lambda f: f("a", MEMBERS[0], WEIGHTS[0], 4),
            ValueError,
            "`members` and `weights`",
        ),
        (lambda f: f("a", MEMBERS, WEIGHTS, 3), ValueError, r"`members` must hold .*\[3\]"),
        (lambda f: f("a", WEIGHTS, WEIGHTS, 4), TypeError, "`members` must hold"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call(MultiMembershipLayer())


def test_one_column_has_no_pairs():
    with pytest.raises(ValueError, match="`x` must have two columns"):
        seed(HorseshoeInteractionLayer(), 0)("a", X[:, :1])
