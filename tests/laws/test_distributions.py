"""Every law of distributions for every public distribution."""

import functools

import pytest

from numpyro_bayeslayers import distributions
from numpyro_bayeslayers.testing import DISTRIBUTION_LAWS, DistributionTrial
from tests.cases.distributions import DISTRIBUTIONS


@functools.cache
def trial_of(name):
    """One for all laws, which share its draws."""
    case = DISTRIBUTIONS[name]
    return DistributionTrial(case.make, case.params)


def test_every_distribution_has_a_row():
    assert set(DISTRIBUTIONS) == set(distributions.__all__)


@pytest.mark.parametrize("law", DISTRIBUTION_LAWS)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_law(name, law):
    excused = DISTRIBUTIONS[name].excused
    if law in excused:
        pytest.skip(excused[law])
    DISTRIBUTION_LAWS[law](trial_of(name))
