"""Uniform orthogonal matrices by their moments, which draws without signs do not have."""

import jax
import numpy as np
import pytest

from numpyro_bayeslayers.distributions import HaarOrthogonal

NUM_DRAWS = 20_000
Z_LIMIT = 5.5  # a standard normal is further off with probability 4e-8


def draws_of(dim):
    draws = jax.jit(lambda: HaarOrthogonal(dim).sample(jax.random.key(0), (NUM_DRAWS,)))()
    return np.asarray(draws, np.float64)


def without_signs(dim):
    return np.linalg.qr(np.random.default_rng(0).normal(size=(NUM_DRAWS, dim, dim)))[0]


def z_scores(q):
    """Of all means of entries and of their products, and of moments of the trace.

    Traces of uniform matrices have the moments of a standard normal, up to an order that
    grows with the dimension.
    """
    dim = q.shape[-1]
    entries = q.reshape(len(q), -1)
    products = (entries[:, :, None] * entries[:, None]).reshape(len(q), -1)
    trace = np.trace(q, axis1=1, axis2=2)
    powers = np.stack([trace, trace**2, trace**4, np.linalg.det(q)], axis=1)
    found = np.concatenate([entries, products, powers], axis=1)
    eye = np.eye(dim * dim).ravel() / dim
    expected = np.concatenate([np.zeros(dim * dim), eye, [0.0, 1.0, 3.0, 0.0]])
    return (found.mean(0) - expected) / (found.std(0) / np.sqrt(len(q)))


@pytest.mark.parametrize("dim", [4, 5])
def test_moments(dim):
    assert np.abs(z_scores(draws_of(dim))).max() < Z_LIMIT


def test_moments_catch_a_missing_sign():
    assert np.abs(z_scores(without_signs(5))).max() > 100


def test_eigenvalues_repel_and_cover_the_circle():
    """Angles are uniform; those of reflections, too, but for the two at 0 and pi.

    A Kolmogorov-Smirnov distance above 2.9 / sqrt(n) has probability 1e-7; one angle is
    taken from each matrix, so they are independent.
    """
    q = draws_of(2)
    q = q[np.linalg.det(q) > 0]
    angles = np.sort(np.arctan2(q[:, 1, 0], q[:, 0, 0])) / (2 * np.pi) + 0.5
    distance = np.abs(angles - (np.arange(len(angles)) + 0.5) / len(angles)).max()
    assert distance < 2.9 / np.sqrt(len(angles))


def test_in_one_dimension_it_is_a_sign():
    q = draws_of(1)
    assert set(np.unique(q)) == {-1.0, 1.0}
    assert abs(q.mean()) < 5.5 / np.sqrt(NUM_DRAWS)


def test_density_is_with_respect_to_itself():
    d = HaarOrthogonal(3)
    q = d.sample(jax.random.key(0), (2, 4))
    np.testing.assert_array_equal(d.log_prob(q), np.zeros((2, 4)))
    with pytest.warns(UserWarning, match="Out-of-support"):
        assert d.log_prob(1.01 * q[0, 0]) == -np.inf
    assert d.support(d.support.feasible_like(q)).all()


@pytest.mark.parametrize("dim", [2, 100])
def test_support_allows_for_rounding_only(dim):
    d = HaarOrthogonal(dim)
    q = d.sample(jax.random.key(1), (3,))
    assert d.support(q).all()
    assert not d.support(q + 1e-2).any()


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(ValueError, match="`dim` must be a positive integer, got 0"):
        HaarOrthogonal(0)
    with pytest.raises(TypeError, match="`dim` must be a positive integer"):
        HaarOrthogonal(2.0)
