"""Every law of layers for every public layer."""

import pytest
from numpyro_bayeslayers import layers
from numpyro_bayeslayers.testing import LAYER_LAWS, Trial, check_layer
from tests.cases.layers import LAYERS, MODULES, X


def test_every_layer_has_a_row():
    assert set(LAYERS) | set(MODULES) == set(layers.__all__)


@pytest.mark.parametrize("law", LAYER_LAWS)
@pytest.mark.parametrize("name", LAYERS)
def test_law(name, law):
    case = LAYERS[name]
    if law in case.excused:
        pytest.skip(case.excused[law])
    LAYER_LAWS[law](Trial(case.make("a"), case.inputs))
