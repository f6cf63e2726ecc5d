"""The mixture against SciPy, its point mass, and the probability of the slab."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from numpyro_bayeslayers.distributions import SpikeAndSlab

X = np.array([-3.0, -0.02, 0.0, 0.005, 0.1, 1.0, 50.0])


def parts(x, inclusion, slab, spike):
    return (1 - inclusion) * stats.norm(0, spike).pdf(x), inclusion * stats.norm(
        0, slab
    ).pdf(x)


@pytest.mark.parametrize(
    ("inclusion", "slab", "spike"), [(0.2, 2.0, 0.02), (0.9, 1.0, 0.5)]
)
def test_density_and_probability_of_the_slab(inclusion, slab, spike):
    d = SpikeAndSlab(inclusion, slab, spike)
    of_spike, of_slab = parts(X[:-1], inclusion, slab, spike)
    np.testing.assert_allclose(d.log_prob(X[:-1]), np.log(of_spike + of_slab), rtol=1e-4)
    found = d.slab_probability(X[:-1])
    np.testing.assert_allclose(found, of_slab / (of_spike + of_slab), rtol=1e-4)
    assert np.isfinite(d.log_prob(X[-1]))
    assert d.slab_probability(X[-1]) == 1


def test_the_spike_is_a_hundredth_of_the_slab():
    d = SpikeAndSlab(0.5, np.array([1.0, 30.0]))
    np.testing.assert_allclose(d.spike_scale, [0.01, 0.3], rtol=1e-6)
    assert d.batch_shape == (2,)


def test_a_point_mass_has_an_exact_density():
    d = SpikeAndSlab(0.2, 2.0, 0.0)
    found = d.log_prob(np.array([0.0, 1.0]))
    expected = [np.log(0.8), np.log(0.2) + stats.norm(0, 2).logpdf(1.0)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(
        d.slab_probability(np.array([0.0, 1e-30, 1.0])), [0, 1, 1]
    )
    # 10,000 draws: 5 standard errors of a share of 0.8 are 0.02.
    draws = np.asarray(d.sample(jax.random.key(0), (10_000,)))
    assert abs(np.mean(draws == 0) - 0.8) < 0.02
    np.testing.assert_allclose(d.variance, 0.8)


@pytest.mark.parametrize("spike", [0.0, 0.01])
@pytest.mark.parametrize("x", [0.0, 0.5, 1e3])
def test_gradients_are_finite(x, spike):
    f = lambda x, *args: SpikeAndSlab(*args).log_prob(x)
    grads = jax.grad(f, (0, 1, 2, 3))(x, 0.3, 2.0, spike)
    assert all(jnp.isfinite(g) for g in grads), grads


@pytest.mark.parametrize("name", ["inclusion", "slab_scale", "spike_scale"])
def test_errors(name):
    args = {"inclusion": 0.5, "slab_scale": 1.0, "spike_scale": 0.1} | {name: -0.1}
    with pytest.raises(ValueError, match=f"invalid {name}"):
        SpikeAndSlab(**args)
