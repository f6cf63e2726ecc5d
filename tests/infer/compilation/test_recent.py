"""What is kept is bounded, and results outlast the programs that made them."""

import gc
import weakref

import jax.numpy as jnp
import numpy as np
import optax
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.infer.compilation._recent import Recent, shapes_of
from tests.infer.svi_problems import X, Y, model


class Made:
    pass


def test_what_was_asked_for_last_is_kept():
    kept = Recent(most=2)
    made = {n: kept.get(n, Made) for n in "ab"}
    assert kept.get("a", Made) is made["a"]
    kept.get("c", Made)
    assert ("a" in kept, "b" in kept, "c" in kept, len(kept)) == (True, False, True, 2)
    assert kept.get("b", Made) is not made["b"]


def test_what_is_not_kept_is_free():
    kept = Recent(most=1)
    first = weakref.ref(kept.get(1, Made))
    kept.get(2, Made)
    assert first() is None


def test_shapes_are_of_arrays():
    one = shapes_of({"x": jnp.ones((2, 3)), "y": None, "z": 3})
    assert one == shapes_of(np.zeros((2, 3), np.float32))
    assert one != shapes_of(np.zeros((2, 3), np.float64))


def test_programs_of_an_ensemble_are_bounded_and_let_go():
    """A state of the first shape goes on, and is read, after others took its place."""
    members = EnsembleSVI(model, AutoNormal, optax.sgd(0.1), num_members=2)
    members._programs._made = Recent(most=2)
    states = {n: members.init(0, X[:n], Y[:n]) for n in (4, 5)}
    oldest = weakref.ref(next(iter(members._programs._made)))
    states[6] = members.init(0, X[:6], Y[:6])
    assert len(members._programs._made) == 2
    gc.collect()
    assert oldest() is None, "something else holds the program"
    params = members.get_params(states[4])
    assert params["w_auto_loc"].shape[0] == 2
