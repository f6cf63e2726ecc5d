"""Uncertainty and its parts against SciPy and double precision."""

import numpy as np
import pytest
import scipy.stats

from numpyro_bayeslayers.metrics import (
    entropy,
    entropy_split,
    mutual_information,
    variance_split,
)

RNG = np.random.default_rng(15)
PROBS = RNG.dirichlet(np.ones(4), (6, 10))


def test_entropy_is_that_of_scipy():
    np.testing.assert_allclose(
        entropy(PROBS[0]), scipy.stats.entropy(PROBS[0].T), rtol=1e-5
    )


def test_the_parts_of_entropy():
    """By their definitions; the epistemic part is the difference of the others."""
    total = scipy.stats.entropy(PROBS.mean(0).T)
    aleatoric = scipy.stats.entropy(np.moveaxis(PROBS, -1, 0)).mean(0)
    found = entropy_split(PROBS)
    np.testing.assert_allclose(found.total, total, rtol=1e-5)
    np.testing.assert_allclose(found.aleatoric, aleatoric, rtol=1e-5)
    np.testing.assert_allclose(found.epistemic, total - aleatoric, atol=1e-6)
    np.testing.assert_array_equal(mutual_information(PROBS), found.epistemic)


def test_draws_that_nearly_agree_keep_their_digits():
    """Probabilities that differ by 1e-4: mutual information is some 1e-8, not noise of 1e-7."""
    logits = RNG.normal(size=(1, 5, 3)) + 1e-3 * RNG.normal(size=(50, 5, 3))
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mean = probs.mean(0)
    expected = (probs * np.log(probs / mean)).sum(-1).mean(0)
    np.testing.assert_allclose(mutual_information(probs), expected, rtol=0.05)
    assert (mutual_information(probs) >= 0).all()


def test_the_parts_of_variance_are_those_of_the_mixture():
    """Against draws of the mixture: 400,000 give its variance to 0.3%; 5 times that."""
    rng = np.random.default_rng(16)
    mean, variance = rng.normal(size=(8, 2)), rng.uniform(0.5, 2.0, (8, 2))
    found = variance_split(mean, variance)
    np.testing.assert_allclose(found.total, found.aleatoric + found.epistemic, rtol=1e-6)
    which = rng.integers(8, size=400_000)
    draws = mean[which] + np.sqrt(variance[which]) * rng.normal(size=(400_000, 2))
    np.testing.assert_allclose(found.total, draws.var(0), rtol=0.015)
    np.testing.assert_allclose(found.epistemic, mean.var(0), rtol=1e-5)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(ValueError, match=r"`probs` must have 3 axes"):
        entropy_split(PROBS[0])
    with pytest.raises(ValueError, match=r"`probs` must be probabilities"):
        entropy(2 * PROBS[0])
    with pytest.raises(ValueError, match=r"`variance` must be zero or positive, got -1"):
        variance_split(np.ones((2, 3)), -np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"`variance` has"):
        variance_split(np.ones((2, 3)), np.ones((2, 2)))
