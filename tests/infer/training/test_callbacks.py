"""Functions that look at a run between its chunks, and may end it."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from numpyro_bayeslayers.infer import (
    Checkpoint,
    EarlyStopping,
    EnsembleMAP,
    EnsembleSVI,
    EnsembleVI,
    Progress,
)
from tests.infer.problems import linear, linear_init
from tests.infer.svi_problems import X, Y, model

pytestmark = pytest.mark.usefixtures("as_users_run")

MAKE = {
    "svi": lambda: EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=2),
    "vi": lambda: EnsembleVI(model, AutoDelta, optax.adam(0.05), 2),
    "map": lambda: EnsembleMAP(
        linear, lambda key: linear_init(key)[:2], optax.adam(0.05), 2
    ),
}


@pytest.mark.parametrize("kind", MAKE)
def test_callbacks_see_the_run_and_may_end_it(kind, compiled):
    """Losses and parameters are those of a run of so many steps; nothing is compiled for them."""
    ensemble = MAKE[kind]()
    plain = ensemble.run(0, 40, X, Y, progress_bar=False)
    short = ensemble.run(0, 6, X, Y, progress_bar=False)
    seen = []
    before = len(compiled)
    whole = ensemble.run(0, 40, X, Y, progress_bar=False, callbacks=seen.append)
    np.testing.assert_array_equal(whole.losses, plain.losses)
    assert [p.step for p in seen] == list(range(2, 41, 2))
    np.testing.assert_array_equal(seen[2].losses, np.asarray(plain.losses)[:, :6])
    ended = ensemble.run(
        0, 40, X, Y, progress_bar=False, callbacks=[lambda p: None, lambda p: p.step == 6]
    )
    assert len(compiled) == before
    np.testing.assert_array_equal(ended.losses, short.losses)
    pairs = [(seen[2].params, short.params), (ended.params, short.params)]
    for one, other in pairs:
        one, other = (x if isinstance(x, dict) else {"": x} for x in (one, other))
        for name, value in other.items():
            np.testing.assert_array_equal(one[name], value)


def test_callbacks_see_the_scores():
    seen = []
    MAKE["svi"]().run(
        0, 20, X, Y, progress_bar=False, validation=0.25, callbacks=seen.append
    )
    assert [len(p.validation.steps) for p in seen] == list(range(2, 22))
    assert isinstance(seen[0], Progress) and isinstance(seen[0].losses, np.ndarray)


def test_a_run_that_a_callback_ended_goes_on_from_its_checkpoint(tmp_path):
    ensemble = MAKE["map"]()
    asked = {"progress_bar": False, "checkpoint": Checkpoint(tmp_path / "f", every=7)}
    ended = ensemble.run(0, 20, X, Y, callbacks=lambda p: p.step >= 4, **asked)
    assert ended.losses.shape == (2, 4)
    rest = ensemble.run(0, 20, X, Y, **asked)
    whole = ensemble.run(0, 20, X, Y, progress_bar=False)
    np.testing.assert_array_equal(rest.losses, whole.losses)


def test_a_run_that_stopped_is_at_its_end(tmp_path):
    """Its file gives back what it had, and takes no further steps."""
    ensemble = MAKE["map"]()
    rule = EarlyStopping(patience=3, min_delta=1e9)
    asked = {"progress_bar": False, "checkpoint": Checkpoint(tmp_path / "f", every=2)}
    first = ensemble.run(0, 50, X, Y, early_stopping=rule, **asked)
    assert first.losses.shape == (2, 4)
    again = ensemble.run(0, 50, X, Y, early_stopping=rule, **asked)
    np.testing.assert_array_equal(again.losses, first.losses)


def test_refuses():
    run = lambda callbacks: MAKE["map"]().run(
        0, 3, X, jnp.asarray(Y), progress_bar=False, callbacks=callbacks
    )
    with pytest.raises(TypeError, match="`callbacks` must be callable, got 3"):
        run([3])
    with pytest.raises(
        TypeError, match=r"must return True \(which ends the run\), .* got 'yes'"
    ):
        run(lambda progress: "yes")
