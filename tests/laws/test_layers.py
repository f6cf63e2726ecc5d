"""Every law of layers for every public layer."""

import pytest

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.testing import LAYER_LAWS, Trial
from tests.cases.layers import LAYERS, MODULES


def test_every_layer_has_a_row():
    public = {name for name in layers.__all__ if not name.startswith("Abstract")}
    assert set(LAYERS) | set(MODULES) == public


@pytest.mark.parametrize("law", LAYER_LAWS)
@pytest.mark.parametrize("name", LAYERS)
def test_law(name, law):
    case = LAYERS[name]
    if law in case.excused:
        pytest.skip(case.excused[law])
    LAYER_LAWS[law](Trial(case.make("a"), case.inputs))
