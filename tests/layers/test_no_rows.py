"""Tables without rows, or without columns."""

import jax.numpy as jnp
import pytest
from numpyro.handlers import seed

from numpyro_bayeslayers import layers
from tests.cases.layers import LAYERS

NO_ROWS = [
    name
    for name, case in LAYERS.items()
    # One by one, and those that reshape: each row costs a start.
    if name in ("AttentionLayer", "GaussianProcessEffectsLayer", "HSGPFeatures")
    or name in ("InteractionLayer", "DenseReparameterization", "BayesianNeuralField")
]


@pytest.mark.parametrize("name", NO_ROWS)
def test_no_rows_give_no_rows(name):
    case = LAYERS[name]
    out = seed(case.make("a"), 0)(*(x[:0] for x in case.inputs))
    assert len(out) == 0


@pytest.mark.usefixtures("as_users_run")
def test_no_columns_have_nothing_to_attend_to():
    """The mean over no tokens would be NaN; a sum over no columns is zero."""
    with pytest.raises(ValueError, match="`x` must have at least one column"):
        seed(layers.AttentionLayer(), 0)("mix", jnp.ones((5, 0)))
    assert (seed(layers.AdaptiveLayer(), 0)("none", jnp.ones((5, 0))) == 0).all()
