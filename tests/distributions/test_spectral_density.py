"""Frequencies against the kernels that they belong to, and SciPy's densities."""

import jax
import numpy as np
import pytest
from scipy import special, stats

from numpyro_bayeslayers.distributions import (
    IndependentColumns,
    LaplaceSpectralDensity,
    MaternSpectralDensity,
    RBFSpectralDensity,
)
from tests.quick import mostly_slow

NUM_DRAWS = 20_000
# A mean of cosines has a standard error below 0.005: right code is further off than this
# with probability below 6e-7 for each comparison.
TOLERANCE = 5 * np.sqrt(0.5 / NUM_DRAWS)


def matern(r, nu):
    s = np.sqrt(2 * nu) * r
    return 2 ** (1 - nu) / special.gamma(nu) * s**nu * special.kv(nu, s)


FAMILIES = {
    "rbf": (lambda ell, dim: RBFSpectralDensity(ell, dim), lambda r: np.exp(-(r**2) / 2)),
    "laplace": (lambda ell, dim: LaplaceSpectralDensity(ell, dim), lambda r: np.exp(-r)),
    **{
        f"matern-{nu}": (
            lambda ell, dim, nu=nu: MaternSpectralDensity(nu, ell, dim),
            lambda r, nu=nu: matern(r, nu),
        )
        for nu in (0.5, 0.8, 1.5, 2.5)
    },
}


@pytest.mark.parametrize("dim", mostly_slow([1, 2, 3, 10], {1, 10}))
@pytest.mark.parametrize("family", FAMILIES)
def test_mean_cosine_is_the_kernel(family, dim):
    """Along the diagonal and along one axis, at three distances."""
    make, kernel = FAMILIES[family]
    draws = jax.jit(lambda: make(0.7, dim).sample(jax.random.key(dim), (NUM_DRAWS,)))()
    draws = np.asarray(draws, np.float64)
    for direction in (np.full(dim, dim**-0.5), np.eye(dim)[0]):
        for r in (0.3, 1.0, 2.5):
            found = np.cos(draws @ (0.7 * r * direction)).mean()
            np.testing.assert_allclose(found, kernel(r), atol=TOLERANCE)


def test_product_of_cauchys_is_another_kernel():
    """What the test above would see, in ten dimensions, for independent coordinates."""
    draws = np.random.default_rng(0).standard_cauchy((NUM_DRAWS, 10))
    found = np.cos(draws @ np.full(10, 10**-0.5)).mean()
    np.testing.assert_allclose(found, np.exp(-np.sqrt(10)), atol=TOLERANCE)  # 0.042
    assert np.exp(-1) - found > 0.3


@pytest.mark.parametrize("family", ["rbf", "matern-1.5"])
def test_a_lengthscale_for_each_coordinate(family):
    make, kernel = FAMILIES[family]
    ell, step = np.array([0.5, 1.0, 4.0]), np.array([0.4, -0.7, 1.5])
    draws = make(ell, 3).sample(jax.random.key(0), (NUM_DRAWS,))
    found = np.cos(np.asarray(draws, np.float64) @ step).mean()
    expected = kernel(np.linalg.norm(step / ell))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("ell", [0.7, np.array([0.5, 1.0, 4.0])])
def test_densities_are_scipys(ell):
    w = np.random.default_rng(0).normal(size=(6, 3)) * 2
    shape = np.diag(np.broadcast_to(1 / np.asarray(ell) ** 2, 3))
    with jax.enable_x64(True):
        found = RBFSpectralDensity(ell, 3).log_prob(w)
        expected = stats.multivariate_normal(np.zeros(3), shape).logpdf(w)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        for nu in (0.5, 1.5, 7.0):
            found = MaternSpectralDensity(nu, ell, 3).log_prob(w)
            expected = stats.multivariate_t(np.zeros(3), shape, df=2 * nu).logpdf(w)
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        found = LaplaceSpectralDensity(ell, 3).log_prob(w)
        expected = stats.multivariate_t(np.zeros(3), shape, df=1).logpdf(w)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_matrix_of_frequencies_has_one_chi_square_a_column():
    w = np.random.default_rng(0).normal(size=(3, 5))
    columns = IndependentColumns(MaternSpectralDensity(1.5, 1.0, 3), 5)
    law = stats.multivariate_t(np.zeros(3), np.eye(3), df=3)
    np.testing.assert_allclose(columns.log_prob(w), law.logpdf(w.T).sum(), rtol=1e-5)


def test_shapes_of_lengthscale_and_nu():
    """The last axis of a lengthscale is that of the coordinates."""
    d = MaternSpectralDensity(np.array([0.5, 1.5]), np.ones((4, 1, 1)), 3)
    assert (d.batch_shape, d.event_shape) == ((4, 2), (3,))
    assert RBFSpectralDensity(np.ones((4, 3)), 3).batch_shape == (4,)
    assert RBFSpectralDensity(np.ones(3), 3).batch_shape == ()
    assert RBFSpectralDensity(np.ones(1), 3).batch_shape == ()


def test_moments_that_do_not_exist():
    d = MaternSpectralDensity(np.array([0.5, 0.8, 1.0, 2.0]), 0.5, 1)
    np.testing.assert_array_equal(d.mean[:, 0], [np.nan, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(d.variance[:, 0], [np.nan, np.inf, np.inf, 8.0])


def test_small_smoothness_draws_without_underflow():
    """A gamma variate of shape 0.02 is zero in single precision in a sixth of the draws."""
    draws = MaternSpectralDensity(0.02, 1.0, 2).sample(jax.random.key(0), (1000,))
    # A frequency above the largest number has probability 0.03.
    assert np.isfinite(draws).all(1).mean() > 0.9
    assert not np.isnan(draws).any()


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: RBFSpectralDensity(np.ones(4), 3), ValueError,
         r"`lengthscale` must have `dim`=3 entries.*got shape \(4,\).*\[\.\.\., None\]"),
        (lambda: RBFSpectralDensity(1.0, 0), ValueError, "`dim` must be a positive integer"),
        (lambda: RBFSpectralDensity(1.0, 1.5), TypeError, "`dim` must be a positive integer"),
        (lambda: RBFSpectralDensity(-1.0, 3), ValueError, "invalid lengthscale"),
        (lambda: MaternSpectralDensity(0.0, 1.0, 3), ValueError, "invalid nu"),
        (lambda: LaplaceSpectralDensity(np.array([1.0, 0.0]), 2), ValueError,
         "LaplaceSpectralDensity distribution got invalid lengthscale"),
    ],
)  # fmt: skip
def test_errors(make, kind, words):
    with pytest.raises(kind, match=words):
        make()
