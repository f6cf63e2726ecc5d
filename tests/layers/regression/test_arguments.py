"""What regression layers refuse, when they are made and when they are called."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.basis import pairwise_interactions

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jnp.ones((4, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (
            {"coef_kwargs": {"locc": 0.0}},
            ValueError,
            "`coef_kwargs` has 'locc', but Normal takes `loc`, `scale`. Did you mean 'loc'?",
        ),
        (
            {"scale_dist": dist.Exponential},
            ValueError,
            "`scale_kwargs` has 'scale', but Exp",
        ),
        (
            {"coef_dist": dist.StudentT},
            ValueError,
            "`coef_kwargs` must have `df`, which StudentT requires",
        ),
        (
            {"coef_kwargs": {"loc": 0.0, "scale": 2.0}},
            ValueError,
            "`coef_kwargs` must not have `scale`: the layer draws it",
        ),
        ({"coef_dist": dist.Exponential}, ValueError, "`coef_dist` must have a `scale`"),
        (
            {"coef_dist": dist.GaussianRandomWalk, "coef_kwargs": {}},
            ValueError,
            r"`coef_dist` must be a continuous distribution of single numbers.*\(1,\)",
        ),
        (
            {"scale_kwargs": {"scale": -1.0}},
            ValueError,
            "`scale_kwargs` do not make a HalfNormal distribution: .*scale",
        ),
        ({"scale_dist": dist.Normal}, ValueError, "`scale_dist` must be .* of positive"),
        ({"scale_dist": dist.Uniform(-0.5, 1.0)}, ValueError, "`scale_dist` must be"),
        (
            {"coef_dist": "Normal"},
            TypeError,
            "`coef_dist` must be a distribution.*'Normal'",
        ),
        ({"coef_dist": dist.Poisson(1.0)}, ValueError, "`coef_dist` must have a `scale`"),
        (
            {"coef_dist": dist.Normal(0.0, 1.0), "coef_kwargs": {"loc": 1.0}},
            ValueError,
            "`coef_kwargs` must not be given with a ready distribution",
        ),
        ({"centered": 1.5}, ValueError, "`centered` must be True, False or a number.*1.5"),
        (
            {"centered": "no"},
            ValueError,
            "`centered` must be True, False or a number.*'no'",
        ),
    ],
)
def test_refuses_at_construction(arguments, error, match):
    with pytest.raises(error, match=match):
        layers.AdaptiveLayer(**arguments)


def test_fixed_layers_refuse_at_construction():
    with pytest.raises(ValueError, match="`coef_kwargs` has 'rate', but Laplace takes"):
        layers.FixedPriorLayer(dist.Laplace, {"rate": 1.0})
    with pytest.raises(ValueError, match="continuous distribution of single numbers"):
        layers.InterceptLayer(dist.Poisson(1.0))


@pytest.mark.parametrize(
    ("layer", "inputs", "options", "error", "match"),
    [
        (layers.AdaptiveLayer(), (X,), {"units": 0}, ValueError, "`units` must be a pos"),
        (layers.FMLayer(), (X, -1), {}, ValueError, "`low_rank_dim` must be a positive"),
        (layers.FMLayer(), (X, 2.0), {}, TypeError, "`low_rank_dim` must be a positive"),
        (layers.AdaptiveLayer(), (1.0,), {}, ValueError, "`x` must have a row axis"),
        (
            layers.AdaptiveLayer(),
            (X,),
            {"activation": "relu"},
            TypeError,
            "`activation` must be callable, got 'relu'",
        ),
        (
            layers.BilinearLayer(),
            (X, X[:2]),
            {},
            ValueError,
            r"`z` must have one row for each row of `x`, got shapes \(2, 3\) and \(4, 3\)",
        ),
        (
            layers.RandomEffectsLayer(),
            (jnp.array([0, 3, -1]), 3),
            {},
            ValueError,
            r"`x` must hold categories from 0 to 2.*got \[-1, 3\]",
        ),
        (
            layers.RandomEffectsLayer(),
            (jnp.array([0.0]), 3),
            {},
            TypeError,
            "`x` must hold categories, integers from 0 to 2, got an array of type float32",
        ),
        (
            layers.AdaptiveLayer(coef_kwargs={"loc": np.zeros((2, 1))}),
            (X,),
            {},
            ValueError,
            r"settings have shape \(2, 1\), which does not broadcast",
        ),
    ],
)
def test_refuses_at_the_call(layer, inputs, options, error, match):
    with pytest.raises(error, match=match):
        seed(layer, 0)("a", *inputs, **options)


@pytest.mark.parametrize("name", [X, "", None])
def test_name_comes_first(name):
    with pytest.raises(TypeError, match=r"`name` must be a string.*`layer\('price', x\)`"):
        seed(layers.AdaptiveLayer(), 0)(name, X)


def test_pairwise_interactions_refuse_other_rows():
    with pytest.raises(
        ValueError, match=r"one row of columns for each row of `x`.*\(1, 3\)"
    ):
        pairwise_interactions(X, X[:1])


def test_categories_out_of_range_raise_in_the_running_program():
    @eqx.filter_jit
    def run(x):
        return seed(layers.EmbeddingLayer(), 0)("a", x, 3, 2)

    assert jnp.isfinite(run(jnp.array([0, 2]))).all()
    # Older versions of JAX have an error of their own that quotes Equinox's.
    with pytest.raises(Exception, match="`x` must hold categories from 0 to 2"):
        jax.block_until_ready(run(jnp.array([0, 3])))
