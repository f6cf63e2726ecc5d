"""Simulation-based calibration of a model of each family, and of each sampler.

A right posterior fails with probability below 1e-3 each (`Calibration.check`), if its draws
were independent; of 1,000 draws of a chain 49 are ranked.
"""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import NUTS

from numpyro_bayeslayers.infer import (
    MCLMC,
    MCMC,
    VI,
    AdjustedMCLMC,
    EnsembleMCMC,
)
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    DenseReparameterization,
    InterceptLayer,
    RandomEffectsLayer,
    gaussian_link,
    poisson_link,
)
from numpyro_bayeslayers.testing import sbc

pytestmark = pytest.mark.slow
X = np.linspace(-1.0, 1.0, 20, dtype=np.float32)
TOWN = np.arange(20) % 4
SIZES = {"num_replications": 100, "num_draws": 49}
LENGTHS = {"num_chains": 1, "num_warmup": 300, "num_samples": 1000}
CAREFUL = {"target_accept_prob": 0.95}


def dense(x, y=None):
    mean = DenseReparameterization(2, 1, name="out")(x)[..., 0]
    numpyro.sample("y", dist.Normal(mean, 0.5).to_event(1), obs=y)


def effects(x, y=None):
    mean = InterceptLayer()("base", 1) + AdaptiveLayer()("slope", x)
    return gaussian_link(mean, y)


def groups(town, y=None):
    return gaussian_link(RandomEffectsLayer()("town", town, 4), y)


def counts(x, y=None):
    return poisson_link(AdaptiveLayer()("slope", x), y)


FAMILIES = {
    "dense": (dense, {"x": np.stack([X, X**2], 1)}),
    "effects": (effects, {"x": X}),
    "groups": (groups, {"town": TOWN}),
    "counts": (counts, {"x": X}),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_nuts_is_calibrated_in_each_family(family):
    model, data = FAMILIES[family]
    method = MCMC(**LENGTHS, kernel_options=CAREFUL)
    sbc(model, method=method, **SIZES, **data).check()


@pytest.mark.parametrize("kernel", [AdjustedMCLMC, MCLMC])
def test_microcanonical_chains_are_calibrated(kernel):
    """Without the correction variances are a few percent off, which 100 ranks do not see."""
    model, data = FAMILIES["dense"]
    sbc(model, method=MCMC(**LENGTHS, kernel=kernel), **SIZES, **data).check()


def test_chains_of_an_ensemble_are_calibrated():
    model, data = FAMILIES["dense"]
    chains = EnsembleMCMC(NUTS(model), 200, 100, num_members=2)

    def posterior(key, y):
        samples = chains.run(key, y=y, progress_bar=False, **data).samples
        return {n: x.reshape(-1, *x.shape[2:]) for n, x in samples.items()}

    sbc(model, method=posterior, **SIZES, **data).check()


def test_a_factorized_guide_is_found_too_narrow():
    """Variational inference is an approximation: scales under a prior of scales are not right."""
    model, data = FAMILIES["effects"]
    found = sbc(model, method=VI(), num_steps=1000, **SIZES, **data)
    assert found.p_values["slope.scale"].max() < 1e-6
    with pytest.raises(AssertionError, match="slope.scale.*too narrow"):
        found.check()


def test_a_full_rank_guide_is_calibrated_where_the_posterior_is_normal():
    model, data = FAMILIES["dense"]
    method = VI(guide="full_rank", optim=0.05)
    sbc(model, method=method, num_steps=2000, **SIZES, **data).check()
