"""Fitted fields that tests share."""

import pytest

from numpyro_bayeslayers.estimators import (
    BayesianNeuralFieldVI,
)
from numpyro_bayeslayers.estimators._observation import OBSERVATION_MODELS

from .tables import ALL, fit, table


@pytest.fixture(scope="module")
def fitted():
    """Each estimator with another observation model."""
    pairs = zip(ALL, OBSERVATION_MODELS, strict=True)
    extra = {BayesianNeuralFieldVI: {"sample_size_posterior": 4, "num_particles": 1}}
    return {
        name: fit(
            kind, table(counts=True), {"observation_model": name}, **extra.get(kind, {})
        )
        for kind, name in pairs
    }


@pytest.fixture(scope="module")
def normal(fitted):
    return fitted["NORMAL"]
