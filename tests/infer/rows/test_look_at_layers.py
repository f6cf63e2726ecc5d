"""What layers ask of the data is answered before anything is compiled."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.basis import laplacian_eigenfunctions
from numpyro_bayeslayers.infer import (
    MCMC,
    VI,
    EnsembleMAP,
    EnsembleMCMC,
    EnsembleSVI,
    EnsembleVI,
    Stein,
    fit,
    log_joint_of,
)
from numpyro_bayeslayers.infer.ensembles._predictive import Predictor
from numpyro_bayeslayers.infer.rows._arguments import take_apart
from numpyro_bayeslayers.infer.rows._look import Look
from numpyro_bayeslayers.infer.training._member import Drawn
from numpyro_bayeslayers.layers import (
    HSGPFeatures,
    RandomEffectsLayer,
    RBFKernel,
    gaussian_link,
)

BOX = HSGPFeatures.init(1, 3, 2.0, kernel=RBFKernel(1.0, 1.0), name="f")
X, Y = np.linspace(-1, 1, 6, dtype=np.float32), np.zeros(6, np.float32)
YEARS = X + 2015


def process(x, y=None):
    return gaussian_link(BOX(x[:, None]), y)


def effects(x, y=None):
    return gaussian_link(RandomEffectsLayer()("county", x, 4), y)


def look(model, *args, **kwargs):
    Look(model).at_layers(take_apart(args, kwargs))


def train(ensemble, x):
    ensemble.run(0, 3, x, Y, progress_bar=False)


def fail(*args, **kwargs):
    raise AssertionError("it went on")


STOP = optax.GradientTransformation(fail, fail)
DOORS = {
    "VI": lambda model, x: fit(model, y=Y, x=x, method=VI(optim=STOP), num_steps=3),
    "MCMC": lambda model, x: fit(
        model, y=Y, x=x, method=MCMC(kernel_options={"init_strategy": fail})
    ),
    "Stein": lambda model, x: fit(model, y=Y, x=x, method=Stein(optim=STOP), num_steps=3),
    "EnsembleSVI": lambda model, x: EnsembleSVI(model, AutoNormal, STOP).run(0, 3, x, Y),
    "EnsembleVI": lambda model, x: EnsembleVI(model, AutoNormal, STOP).run(0, 3, x, Y),
    "EnsembleMAP": lambda model, x: EnsembleMAP(
        *reversed(log_joint_of(model, jnp.zeros_like(x), Y)), STOP
    ).run(0, 3, x, Y),
    "EnsembleMCMC": lambda model, x: EnsembleMCMC(
        NUTS(model, init_strategy=fail), 1, 1, 2
    ).run(0, x, Y),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_looks_before_it_sets_anything_up(door):
    """Warnings are errors here, and so the door stops where it looks."""
    with pytest.raises(UserWarning, match=r"box of `L`=.2\.0,. of the layer 'f': 6 of 6"):
        DOORS[door](process, YEARS)
    with pytest.raises(ValueError, match=r"must hold categories from 0 to 3.*got .*4, 9"):
        DOORS[door](effects, np.array([0, 1, 2, 4, 9, 4]))
    if door != "Stein":  # which starts its particles first
        with pytest.raises(AssertionError, match="it went on"):
            DOORS[door](process, X)


def test_predictions_look_at_new_rows():
    """All methods predict by this object, which stops here before it compiles."""
    predictor, drawn = Predictor(), Drawn(process, fail)
    new = take_apart((np.float32([0.5, 10.0, 15.0]),), {})
    with pytest.raises(
        UserWarning, match=r"2 of 3 rows lie outside, the first is row 1.*15"
    ):
        predictor(drawn, {}, jax.random.key(0), new, 2, 3, None, None)
    inside = take_apart((X,), {})
    with pytest.raises(AssertionError, match="it went on"):
        predictor(drawn, {"f": jnp.asarray(X)}, jax.random.key(0), inside, 2, 6, None, None)


def test_the_first_batch_is_looked_at():
    ensemble = EnsembleSVI(process, AutoNormal, optax.adam(0.1), num_members=2)
    with pytest.raises(UserWarning, match="6 of 6 rows"):
        ensemble.run_batches(0, [(YEARS, Y)], num_rows=6)


def test_a_box_is_found_behind_what_becomes_of_the_data():
    """Scaled, cut and joined: the data alone determine it. Also where y is not given."""
    table = np.column_stack([YEARS, X])

    def model(x, center, y=None):
        years = jnp.where(x[:, 0] > 0, x[:, 0] - center["mean"], 0.0)
        gaussian_link(BOX(jnp.concatenate([years, x[:, 1]])[:6, None]), y)

    look(model, table, {"mean": np.float32(2015.0)}, Y)
    with pytest.warns(UserWarning, match="largest absolute values are .6.0,"):
        look(model, table, {"mean": np.float32(2010.0)})


def test_all_rows_are_looked_at_where_the_model_takes_some():
    def model(x, y):
        with numpyro.plate("rows", 6, subsample_size=2) as chosen:
            numpyro.sample("y", dist.Normal(BOX(x[chosen, None]), 1.0), obs=y[chosen])

    look(model, X, Y)
    with pytest.warns(UserWarning, match="1 of 6 rows lie outside, the first is row 5"):
        look(model, np.where(X == 1, 9, X), Y)


def test_what_is_drawn_is_not_looked_at():
    """Hidden layers, weights of the data, rows that the model maps by itself."""

    def hidden(x, y=None):
        z = numpyro.sample("z", dist.Normal(0.0, 100.0).expand([6]).to_event(1))
        gaussian_link(BOX((x + z)[:, None]), y)

    def mapped(x, y=None):
        f = jax.vmap(lambda x: x * BOX.num_basis)(x)
        gaussian_link(f, y)

    look(hidden, YEARS, Y)
    look(mapped, YEARS, Y)


def test_a_model_that_fails_is_left_to_fail_where_it_runs():
    def model(x, y=None):
        raise RuntimeError("of its own")

    look(model, X, Y)


def test_a_model_is_traced_once_for_data_of_the_same_shapes():
    calls = []

    def model(x, y=None):
        calls.append(x.shape)
        process(x, y)

    look = Look(model)
    for _ in range(3):
        look.at_observations(take_apart((X, Y), {}))
        look.at_layers(take_apart((X, Y), {}))
    with pytest.warns(UserWarning, match="6 of 6 rows"):
        look.at_layers(take_apart((YEARS, Y), {}))
    assert calls == [(6,)]


def test_what_is_optimized_is_looked_at_when_it_is_found():
    """Not at its first value, which is far outside of the box here, nor inside."""

    def model(x, y=None):
        center = numpyro.param("center", 100.0)
        gaussian_link(BOX((x - center)[:, None]), y)

    parts = take_apart((X, Y), {})
    look = Look(model)
    look.at_layers(parts)
    assert look.is_open
    fitted = numpyro.handlers.substitute(model, data={"center": jnp.float32(9.0)})
    with pytest.warns(UserWarning, match="6 of 6 rows"):
        Look(fitted, before=look).at_layers(parts)


@pytest.mark.slow
def test_what_the_data_answered_is_not_said_again_at_the_end():
    """A learned lengthscale asks for a second look; the box was looked at in the first."""
    learned, moved = (
        HSGPFeatures.init(1, 12, 2.0, kernel=kernel, name=name)
        for name, kernel in (("g", RBFKernel()), ("h", RBFKernel(1.0, 1.0)))
    )

    def model(x, y=None):
        shift = numpyro.param("shift", 0.0)
        f = BOX(x[:, None]) + learned(x[:, None]) + moved((x - shift)[:, None])
        gaussian_link(f, y)

    with pytest.warns(UserWarning, match="box") as said:
        fit(model, y=Y, x=YEARS, num_steps=3, progress_bar=False)
    named = sorted(re.search(r"layer '(\w)'", str(w.message))[1] for w in said)
    assert named == ["f", "g", "h"]
    assert {w.filename for w in said} == {__file__}


def test_a_layer_that_is_called_by_itself_points_to_its_caller():
    with pytest.warns(UserWarning, match="6 of 6 rows") as said:
        numpyro.handlers.seed(BOX, 0)(YEARS[:, None])
    assert said[0].filename == __file__


def test_nothing_is_added_to_a_program():
    """A kernel that asks traces to the operations of its basis, and no others."""
    x, sides = jnp.ones((3, 1)), ((4,), (2.0,))
    asks, plain = (
        str(jax.make_jaxpr(lambda x, f=f: f(x, *sides))(x))
        for f in (RBFKernel()._basis, laplacian_eigenfunctions)
    )
    with numpyro.handlers.trace():
        assert str(jax.make_jaxpr(lambda x: RBFKernel()._basis(x, *sides))(x)) == asks
    assert asks == plain
