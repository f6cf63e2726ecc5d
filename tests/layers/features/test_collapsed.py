"""Collapsed inference has the posterior of the hyperparameters that sampling weights has."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS

from numpyro_bayeslayers.layers import HSGPFeatures, MaternKernel

NAMES = ("sigma", "f.kernel.variance", "f.kernel.lengthscale")


def draws(integrated):
    key = jax.random.key(0)
    x = jnp.linspace(-1, 1, 50)[:, None]
    y = jnp.sin(6 * x[:, 0]) + 0.3 * jax.random.normal(key, (50,))
    layer = HSGPFeatures.init(1, 15, 1.5, kernel=MaternKernel(), name="f")

    def model():
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        law = layer.marginal(x, sigma) if integrated else dist.Normal(layer(x), sigma)
        numpyro.sample("y", law, obs=y)

    kernel = NUTS(model, target_accept_prob=0.95)
    mcmc = MCMC(kernel, num_warmup=500, num_samples=4_000, progress_bar=False)
    mcmc.run(jax.random.key(1))
    return mcmc.get_samples(group_by_chain=True)


@pytest.mark.slow
def test_same_posterior_of_the_hyperparameters():
    """Quartiles of one run against the other's: 9 z-tests of proportions at 4.5 errors.

    By chance one of them fails 6 times in 100,000.
    """
    plain, integrated = draws(False), draws(True)
    for name in NAMES:
        a, b = (np.asarray(samples[name]) for samples in (plain, integrated))
        for q in (0.25, 0.5, 0.75):
            cut = np.quantile(a, q)
            below = [(s < cut).astype(float) for s in (a, b)]
            errors = [q * (1 - q) / effective_sample_size(ind) for ind in below]
            z = (below[1].mean() - q) / np.sqrt(sum(errors))
            assert abs(z) < 4.5, (name, q, z)
