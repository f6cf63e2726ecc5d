"""Simulation-based calibration of layers and of samplers.

A right posterior fails with probability below 1e-3 each (`Calibration.check`), if its draws
were independent; a part of the draws of a chain is ranked.
"""

import pytest

from numpyro_bayeslayers.infer import VI
from numpyro_bayeslayers.testing import sbc

from .calibrated import CASES, X, effects

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CASES)
def test_ranks_are_uniform(case):
    CASES[case].run().check()


def test_a_factorized_guide_is_found_too_narrow():
    """Variational inference is an approximation: scales under a prior of scales are not right."""
    found = sbc(effects, method=VI(), num_steps=1000, x=X)
    assert found.p_values["slope.scale"].max() < 1e-6
    with pytest.raises(AssertionError, match=r"slope.scale.*too narrow"):
        found.check()
