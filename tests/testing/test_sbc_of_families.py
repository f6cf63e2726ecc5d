"""Simulation-based calibration of layers and of samplers.

A right posterior fails with probability below 1e-3 each (`Calibration.check`), if its draws
were independent; a part of the draws of a chain is ranked.
"""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import MCMC, VI, AdjustedMCLMC
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    DenseReparameterization,
    InterceptLayer,
    gaussian_link,
)
from numpyro_bayeslayers.testing import sbc

pytestmark = pytest.mark.slow
X = np.linspace(-1.0, 1.0, 20)
LENGTHS = {"num_chains": 1, "num_warmup": 200, "num_samples": 400}


def dense(x, y=None):
    mean = DenseReparameterization(2, 1, name="out")(x)[..., 0]
    numpyro.sample("y", dist.Normal(mean, 0.5).to_event(1), obs=y)


def effects(x, y=None):
    mean = InterceptLayer()("base", 1) + AdaptiveLayer()("slope", x)
    return gaussian_link(mean, y)


def test_nuts_is_calibrated_for_a_dense_layer():
    x = np.stack([X, X**2], 1).astype(np.float32)
    lengths = {"num_chains": 1, "num_warmup": 300, "num_samples": 1000}
    method = MCMC(**lengths, kernel_options={"target_accept_prob": 0.95})
    sbc(dense, method=method, num_replications=100, num_draws=49, x=x).check()


def test_nuts_is_calibrated_for_effects_and_their_link():
    sbc(effects, method=MCMC(**LENGTHS), x=X).check()


def test_microcanonical_chains_are_calibrated():
    method = MCMC(**LENGTHS, kernel=AdjustedMCLMC)
    sbc(effects, method=method, num_replications=60, x=X).check()


def test_a_factorized_guide_is_found_too_narrow():
    """Variational inference is an approximation: scales under a prior of scales are not right."""
    found = sbc(effects, method=VI(), num_steps=1000, x=X)
    assert found.p_values["slope.scale"].max() < 1e-6
    with pytest.raises(AssertionError, match=r"slope.scale.*too narrow"):
        found.check()
