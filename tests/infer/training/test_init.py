"""Runs start where they are told to: at an earlier result, or at values by site."""

import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pytest
from numpyro.infer.autoguide import (
    AutoBNAFNormal,
    AutoDelta,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from numpyro.primitives import mutable

from numpyro_bayeslayers.infer import Checkpoint, EnsembleMAP, EnsembleSVI
from tests.infer.problems import linear, linear_init
from tests.infer.svi_problems import X, Y, guide, model

pytestmark = pytest.mark.usefixtures("as_users_run")

QUIET = {"progress_bar": False}
STAY = optax.sgd(0.0)
AT = {"w": np.array([[1.5, -0.5], [0.25, 2.0]]), "spread": 0.25}


def make(guide=AutoDelta, optim=STAY, num_members=2, model=model):
    return EnsembleSVI(model, guide, optim, num_members=num_members)


def medians(params):
    """The medians of a guide, from its parameters as NumPyro names them."""
    if "auto_loc" in params:  # one vector in the order of the model, unconstrained
        return params["auto_loc"][:, :2], np.exp(params["auto_loc"][:, 2])
    is_point = "w_auto_scale" not in params
    spread = params["spread_auto_loc"]
    return params["w_auto_loc"], spread if is_point else np.exp(spread)


@pytest.mark.filterwarnings("ignore:The Hessian")
@pytest.mark.parametrize(
    "kind",
    [
        AutoDelta,
        AutoNormal,
        AutoMultivariateNormal,
        AutoLowRankMultivariateNormal,
        AutoLaplaceApproximation,
    ],
)
def test_values_by_site_are_where_the_guide_starts(kind):
    """The positive site too: the median of the guide is the value, member by member."""
    ensemble = make(kind)
    found = ensemble.run(0, 1, X, Y, init=AT, **QUIET)
    w, spread = medians(found.params)
    np.testing.assert_allclose(w, AT["w"], rtol=1e-5)
    np.testing.assert_allclose(spread, [0.25, 0.25], rtol=1e-5)


def test_the_loss_at_values_is_that_of_numpyro():
    """Of a point guide: minus the log joint density at the values, by NumPyro."""
    found = make().run(0, 1, X, Y, init=AT, **QUIET)
    for e in range(2):
        at = {"w": AT["w"][e], "spread": 0.25}
        density, _ = numpyro.infer.util.log_density(model, (X, Y), {}, at)
        np.testing.assert_allclose(found.losses[e, 0], -density, rtol=1e-5)


def test_sites_that_are_left_out_start_as_they_would():
    plain = make().run(0, 1, X, Y, **QUIET)
    found = make().run(0, 1, X, Y, init={"w": [3.0, 3.0]}, **QUIET)
    np.testing.assert_array_equal(found.params["w_auto_loc"], np.full((2, 2), 3.0))
    assert found.params["spread_auto_loc"].shape == plain.params["spread_auto_loc"].shape
    assert len(set(np.asarray(found.params["spread_auto_loc"]))) == 2


def test_parameters_of_a_guide_function():
    found = make(guide).run(0, 1, X, Y, init={"scale": [0.5, 2.0], "loc": AT["w"]}, **QUIET)
    np.testing.assert_allclose(found.params["scale"], [[0.5, 2.0]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(found.params["loc"], AT["w"])
    np.testing.assert_allclose(found.params["rate"], [2.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize("kind", [AutoDelta, AutoNormal])
def test_a_result_is_where_it_ended(kind):
    """The first loss is that of the parameters; of one member, for all members."""
    adam = optax.adam(0.05)
    first = make(kind, adam).run(0, 30, X, Y, **QUIET)
    then = make(kind).run(0, 1, X, Y, init=first, **QUIET)
    for name, value in first.params.items():
        np.testing.assert_allclose(then.params[name], value, rtol=1e-6)
    one = make(kind, adam, 1).run(0, 30, X, Y, **QUIET)
    then = make(AutoNormal, num_members=3) if kind is AutoNormal else None
    if then is not None:
        spread = then.run(0, 1, X, Y, init=one, **QUIET).params["w_auto_loc"]
        np.testing.assert_allclose(spread, np.repeat(one.params["w_auto_loc"], 3, 0))


def test_going_on_by_init_is_going_on():
    """Steps that remember nothing, of a loss without draws: 4 and 5 steps are 9. And by the state,
    of any optimizer, to the last bit."""
    sgd = make(optim=optax.sgd(1e-3))
    first = sgd.run(0, 4, X, Y, **QUIET)
    then, whole = sgd.run(9, 5, X, Y, init=first, **QUIET), sgd.run(0, 9, X, Y, **QUIET)
    np.testing.assert_allclose(then.losses, whole.losses[:, 4:], rtol=1e-5)
    adam = make(AutoNormal, optax.adam(0.1))
    first = adam.run(0, 4, X, Y, batch_size=5, **QUIET)
    then = adam.run(9, 5, X, Y, batch_size=5, init=first.state, **QUIET)
    whole = adam.run(0, 9, X, Y, batch_size=5, **QUIET)
    np.testing.assert_array_equal(then.losses, whole.losses[:, 4:])


def test_a_start_compiles_once(compiled):
    ensemble = make(AutoNormal)
    ensemble.run(0, 2, X, Y, init=AT, **QUIET)
    before = len(compiled)
    ensemble.run(1, 2, X, Y, init={**AT, "spread": 0.5}, **QUIET)
    assert len(compiled) == before


def test_other_sites_shapes_and_guides_are_refused(tmp_path):
    run = lambda init, kind=AutoDelta, **more: make(kind, **more).run(
        0, 1, X, Y, init=init, **QUIET
    )
    with pytest.raises(ValueError, match=r"`init` must be one of .*got 'sprad'.*'spread'"):
        run({"sprad": 0.3})
    with pytest.raises(
        ValueError, match=r"site 'w' must have shape \(2,\) or \(2, 2\), got"
    ):
        run({"w": np.ones(3)})
    with pytest.raises(ValueError, match=r"site 'spread' must be finite, inside its supp"):
        run({"spread": [0.2, -0.2]})
    with pytest.raises(ValueError, match=r"need an autoguide with a median"):
        run(AT, AutoBNAFNormal)
    with pytest.raises(ValueError, match=r"need an autoguide.*\['loc', 'rate', 'scale'\]"):
        run({"w": np.ones(2)}, guide)
    with pytest.raises(TypeError, match=r"`init` must be an earlier result, a state"):
        run(3.0)
    first = make().run(0, 1, X, Y, **QUIET)
    with pytest.raises(
        ValueError, match=r"`init` is of another model or guide.*AutoDelta, here"
    ):
        run(first, AutoNormal)
    with pytest.raises(ValueError, match=r"`init` has 2 members and this run has 3"):
        run(first, num_members=3)
    with pytest.raises(ValueError, match=r"`init` and `init_state` must not both"):
        make().run(0, 1, X, Y, init=first, init_state=first.state, **QUIET)
    path = Checkpoint(tmp_path / "f")
    make().run(0, 1, X, Y, init=AT, checkpoint=path, **QUIET)
    with pytest.raises(ValueError, match=r"belongs to another run: it has `init`"):
        make().run(0, 1, X, Y, init={**AT, "spread": 0.3}, checkpoint=path, **QUIET)


def modes(optim=STAY, size=2):
    return EnsembleMAP(linear, linear_init, optim, size)


XM = np.concatenate([X, X[:, :1] ** 2], 1)


def test_modes_start_where_they_are_told():
    first = modes(optax.adam(0.1)).run(0, 20, XM, Y, **QUIET)
    then = modes().run(3, 1, XM, Y, init=first, **QUIET)
    np.testing.assert_array_equal(then.params, first.params)
    at = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(modes().run(0, 1, XM, Y, init=at, **QUIET).params, at)
    loglik, logprior = linear(at[1], XM, Y)
    loss = modes().run(0, 1, XM, Y, init=at, **QUIET).losses[1, 0]
    np.testing.assert_allclose(loss, -loglik - logprior, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`init` must have shape \(3,\) or \(2, 3\), got"):
        modes().run(0, 1, XM, Y, init=np.ones(4), **QUIET)
    with pytest.raises(ValueError, match=r"`init` must be an earlier result"):
        modes().run(0, 1, XM, Y, init={"w": np.ones(3)}, **QUIET)


def counting(x, y=None):
    kept = mutable("count", {"steps": jnp.zeros(())})
    kept["steps"] = kept["steps"] + 1.0
    model(x, y)


def test_what_a_model_keeps_goes_with_a_result():
    """It counts the start and the steps; a second start adds one no more."""
    ensemble = make(model=counting)
    first = ensemble.run(0, 5, X, Y, **QUIET)
    then = ensemble.run(0, 3, X, Y, init=first, **QUIET)
    counts = [r.state.mutable_state["count"]["steps"] for r in (first, then)]
    np.testing.assert_array_equal(counts, [[6, 6], [9, 9]])
