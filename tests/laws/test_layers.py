"""Every law of layers for every public layer."""

import inspect

import pytest

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.testing import LAYER_LAWS, Trial
from tests.cases.layers import LAYERS, MODULES


def test_every_layer_has_a_row():
    public = {name: getattr(layers, name) for name in layers.__all__}
    classes = {name for name, found in public.items() if inspect.isclass(found)}
    assert set(LAYERS) | set(MODULES) == {n for n in classes if n[:8] != "Abstract"}


@pytest.mark.parametrize("law", LAYER_LAWS)
@pytest.mark.parametrize("name", LAYERS)
def test_law(name, law):
    case = LAYERS[name]
    if law in case.excused:
        pytest.skip(case.excused[law])
    LAYER_LAWS[law](Trial(case.make("a"), case.inputs))
