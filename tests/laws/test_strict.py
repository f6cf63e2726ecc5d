"""Every layer and distribution under the strict settings of JAX, by its shapes alone."""

import jax
import pytest
from numpyro.handlers import seed

from tests.cases.distributions import DISTRIBUTIONS
from tests.cases.layers import LAYERS

STRICT = {
    "ranks": lambda: jax.numpy_rank_promotion("raise"),
    "types": lambda: jax.numpy_dtype_promotion("strict"),
}


def look(name):
    case = LAYERS[name]
    layer = case.make("a")
    run = lambda key: seed(layer, key)(*case.inputs)
    jax.eval_shape(run, jax.random.key(0))


def look_at_distribution(name):
    case = DISTRIBUTIONS[name]

    def run(key):
        law = case.make(**case.params)
        return law.log_prob(law.sample(key, (2,)))

    jax.eval_shape(run, jax.random.key(0))


@pytest.mark.parametrize("setting", STRICT)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_run(name, setting):
    with STRICT[setting]():
        look(name)


@pytest.mark.parametrize("setting", STRICT)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_draw_and_have_densities(name, setting):
    with STRICT[setting]():
        look_at_distribution(name)


def test_what_is_outside_of_a_layer_stays_strict():
    case = LAYERS["DenseReparameterization"]

    def model(key):
        out = seed(case.make("a"), key)(*case.inputs)
        return out + out[0]

    with (
        jax.numpy_rank_promotion("raise"),
        pytest.raises(ValueError, match="add on shapes"),
    ):
        jax.eval_shape(model, jax.random.key(0))
