"""The shape of the largest weights: against ArviZ, SciPy and laws whose shape is known."""

import numpy as np
import pytest
import scipy.stats

from numpyro_bayeslayers.infer.fitting._pareto import (
    generalized_pareto_shape,
    k_limit,
    pareto_k,
)


def shape_by_arviz(logs):
    """ArviZ 1 keeps it in a package of its own, which wants the negative of the logarithms."""
    arviz = pytest.importorskip("arviz")
    if hasattr(arviz, "psislw"):
        return arviz.psislw(logs)[1]
    return pytest.importorskip("arviz_stats.base").array_stats.psislw(-logs)[1]


@pytest.mark.parametrize("count", [100, 900, 3600])
def test_shape_of_weights_is_that_of_arviz(count):
    """Weights of all kinds, light tails and heavy ones, from the same formula elsewhere.

    Of numbers whose tail is no whole number of draws, ArviZ 1 has one draw less in it.
    """
    rng = np.random.default_rng(0)
    logs = np.stack([scale * rng.normal(size=count) for scale in (0.01, 0.5, 1, 3, 10)])
    logs[-1] -= 900.0  # only differences matter
    np.testing.assert_allclose(pareto_k(logs), shape_by_arviz(logs), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.7, 1.2])
def test_shape_of_a_generalized_pareto_law(shape):
    """2,000 draws: the standard error is about (1 + k) / √2000; 5 of them.

    A false alarm in 2 million; the ten numbers that are added move k by 0.005 at most.
    """
    draws = np.sort(scipy.stats.genpareto.rvs(shape, size=(1, 2000), random_state=0))
    found = generalized_pareto_shape(draws)
    assert abs(found - shape) < 5 * (1 + shape) / np.sqrt(2000) + 0.005
    by_likelihood, *_ = scipy.stats.genpareto.fit(draws[0], floc=0.0)
    np.testing.assert_allclose(found, by_likelihood, atol=0.02)


@pytest.mark.parametrize(("scale", "k"), [(0.5, 0.75), (0.8, 0.36), (1.5, -1.25)])
def test_a_normal_for_a_normal(scale, k):
    """A guide of too small a deviation has weights of shape 1 - scale², of a wide one none.

    The weight exp((1/scale² - 1) z² / 2) of a draw z scale has a tail of the power
    1 / (1 - scale²). Of 40,000 draws the 600 largest are looked at, whose shape approaches it
    slowly, as the square of a normal is no exponential: 0.2.
    """
    z = np.random.default_rng(1).normal(size=(1, 40_000))
    logs = 0.5 * z**2 * (1 - scale**2)
    (found,) = pareto_k(logs)
    assert found < 0.1 if k < 0 else abs(found - k) < 0.2
    assert (found > 0.7) == (k > 0.7)


def test_points_have_no_shape():
    logs = np.stack([np.full(100, 3.0), np.where(np.arange(100) == 7, np.nan, 1.0)])
    assert np.isnan(pareto_k(logs)).all()
    with_impossible = np.where(np.arange(100) % 2, np.linspace(0, 1, 100), -np.inf)
    assert np.isfinite(pareto_k(with_impossible[None])).all()


def test_limit_depends_on_the_number_of_draws():
    np.testing.assert_allclose(k_limit(100), 0.5)
    assert k_limit(1000) == pytest.approx(2 / 3) and k_limit(10**6) == 0.7
