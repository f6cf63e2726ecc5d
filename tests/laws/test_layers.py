"""Every law of layers for every public layer."""

import functools
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.primitives import linear, sample_site
from numpyro_bayeslayers.testing import LAYER_LAWS, Trial
from tests.cases.layers import LAYERS, MODULES


def test_every_layer_has_a_row():
    public = {name: getattr(layers, name) for name in layers.__all__}
    classes = {name for name, found in public.items() if inspect.isclass(found)}
    assert set(LAYERS) | set(MODULES) == {n for n in classes if n[:8] != "Abstract"}


class TrainedPrior(layers.AbstractRowLayer):
    """A layer whose prior mean an optimizer of its leaves would move."""

    in_features: int = eqx.field(static=True)
    loc: jax.Array
    name: str | None = eqx.field(static=True)

    def _rows(self, x):
        return linear(x, sample_site("w", dist.Normal(self.loc, 1.0).to_event(2)))


def test_constants_that_would_train_are_caught():
    layer = TrainedPrior(3, jnp.zeros((3, 2)), "a")
    with pytest.raises(AssertionError, match="it would be trained"):
        LAYER_LAWS["constants"](Trial(layer, (jnp.ones((4, 3)),)))


@functools.cache
def trial(name):
    """One prior draw of a layer serves all laws."""
    return Trial(LAYERS[name].make("a"), LAYERS[name].inputs)


# The dearest law of all, and the one that follows from one plate but for rare mistakes.
DEAR = {"two_plates"}
LAWS = [pytest.param(n, marks=[pytest.mark.slow] * (n in DEAR)) for n in LAYER_LAWS]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", LAYERS)
def test_law(name, law):
    case = LAYERS[name]
    if law in case.excused:
        pytest.skip(case.excused[law])
    LAYER_LAWS[law](trial(name))
