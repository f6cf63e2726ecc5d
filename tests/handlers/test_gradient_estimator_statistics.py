"""Gradient estimators keep the mean of the gradient and lower its variance."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import replay, seed
from scipy import stats

from numpyro_bayeslayers.handlers import flipout, local_reparameterization, tie
from numpyro_bayeslayers.layers import DenseReparameterization
from tests.handlers.study import data, gradient_draws, variance_ratio, z_scores

ESTIMATORS = [flipout, local_reparameterization]
# 200 means are compared at a time; a standard normal exceeds 5.2 with probability 2e-7, so
# a right gradient estimator fails one comparison with probability below 4e-5.
Z_LIMIT = 5.2


def plain(model):
    return model


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_mean_and_variance_of_the_gradient(estimator):
    """At 128 rows, with room for the error of 800 draws (about 10% in the ratio)."""
    reference = gradient_draws(plain, 128, 800, seed=1)
    estimate = gradient_draws(estimator, 128, 800, seed=2)
    for a, b in zip(reference, estimate, strict=True):
        assert np.abs(z_scores(a, b)).max() < Z_LIMIT
    assert variance_ratio(reference[0], estimate[0]) > 1.8  # 2.4 in 2,000 draws
    assert variance_ratio(reference[1], estimate[1]) > 1.2  # 1.4 and 128


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_variance_ratio_grows_with_the_batch(estimator):
    ratios = []
    for rows in (1, 16, 128, 512):
        reference = gradient_draws(plain, rows, 2000, seed=1)
        estimate = gradient_draws(estimator, rows, 2000, seed=2)
        for a, b in zip(reference, estimate, strict=True):
            z = z_scores(a, b)[b.std(0) > 1e-6]  # one row has no noise in some scales
            assert np.abs(z).max() < Z_LIMIT
            # 200 squares of correlated scores: far outside their spread of about 0.3.
            assert 0.2 < np.mean(z**2) < 2.5
        ratios.append(variance_ratio(reference[0], estimate[0]))
    assert abs(ratios[0] - 1.0) < 0.15  # one row: nothing to decorrelate
    assert ratios[1] < ratios[2] < ratios[3]
    assert ratios[3] > 5.0


def rows_of(estimator, x, draws, layer=None):
    """Outputs (draws, n) of one unit under a fixed normal guide."""
    layer = layer or DenseReparameterization(x.shape[-1], 1, name="f")
    loc = jnp.linspace(-1.0, 1.0, x.shape[-1])[:, None]

    def guide():
        numpyro.sample("f.weight", dist.Normal(loc, 0.5).to_event(2))
        numpyro.sample("f.bias", dist.Normal(jnp.ones(1), 0.2).to_event(1))

    def one(key):
        key_guide, key_model = jax.random.split(key)
        drawn = numpyro.handlers.trace(seed(guide, key_guide)).get_trace()
        return replay(seed(estimator(layer), key_model), drawn)(x)[..., 0]

    return np.asarray(jax.vmap(one)(jax.random.split(jax.random.key(3), draws)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_law_of_one_row_is_unchanged(estimator):
    """Two-sample Kolmogorov-Smirnov test, false-alarm rate 1e-4, and the closed form."""
    x, _ = data(4)
    x = x[:, :5]
    before, after = rows_of(plain, x, 4000), rows_of(estimator, x, 4000)
    loc, var = x @ jnp.linspace(-1, 1, 5) + 1.0, 0.25 * jnp.sum(x**2, -1) + 0.04
    for row in range(4):
        assert stats.ks_2samp(before[:2000, row], after[2000:, row]).pvalue > 1e-4
        exact = stats.norm(loc[row], np.sqrt(var[row]))
        assert stats.kstest(after[:, row], exact.cdf).pvalue > 1e-4


def test_rows_are_decorrelated():
    """Two equal rows: correlation 1 before; after, what the shared bias leaves, or none.

    Five standard errors of 4,000 draws are 0.08 (false-alarm rate 6e-7).
    """
    x = jnp.tile(jnp.array([[1.0, -0.5, 2.0]]), (2, 1))
    assert np.corrcoef(rows_of(plain, x, 4000).T)[0, 1] > 0.999
    shared = 0.2**2 / (0.2**2 + 0.25 * 5.25)
    assert abs(np.corrcoef(rows_of(flipout, x, 4000).T)[0, 1] - shared) < 0.08
    local = rows_of(local_reparameterization, x, 4000)
    assert abs(np.corrcoef(local.T)[0, 1]) < 0.08


def tied_model(x, y=None):
    with tie(DenseReparameterization(20, 20, name="f")) as layer:
        f = jnp.tanh(layer(jnp.tanh(layer(x))))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(f[..., :10], 1.0).to_event(1), obs=y)


@pytest.mark.slow
def test_flipout_is_unbiased_for_a_weight_used_twice():
    """Two recurrent steps with one weight: signs drawn afresh would bias the gradient."""
    start = {
        "f.weight_auto_loc": 0.2 * jax.random.normal(jax.random.key(1), (20, 20)),
        "f.bias_auto_loc": jnp.zeros(20),
    }
    reference = gradient_draws(plain, 16, 4000, 1, tied_model, start=start)
    estimate = gradient_draws(flipout, 16, 4000, 2, tied_model, start=start)
    for a, b in zip(reference, estimate, strict=True):
        assert np.abs(z_scores(a, b)).max() < Z_LIMIT
