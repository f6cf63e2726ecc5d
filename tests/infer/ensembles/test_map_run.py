"""Runs of modes go on, are saved, stop, and are scored as variational ones are."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from numpyro_bayeslayers.infer import Checkpoint, EarlyStopping, EnsembleMAP, EnsembleResult
from tests.infer.problems import linear, linear_init, regression

pytestmark = pytest.mark.usefixtures("as_users_run")

X, Y = regression()
QUIET = {"progress_bar": False}


def make(optim=None, size=2, log_joint=linear):
    return EnsembleMAP(log_joint, linear_init, optim or optax.adam(0.05), size)


@pytest.fixture(scope="module")
def ensemble():
    return make()


@pytest.mark.parametrize("as_init", [False, True])
def test_going_on_is_going_on(ensemble, as_init):
    """5 and 7 steps in minibatches are 12, bitwise, whatever seed the second run is given."""
    whole = ensemble.run(0, 12, X, Y, batch_size=7, **QUIET)
    first = ensemble.run(0, 5, X, Y, batch_size=7, **QUIET)
    at = {"init" if as_init else "init_state": first.state}
    second = ensemble.run(99, 7, X, Y, batch_size=7, **at, **QUIET)
    np.testing.assert_array_equal(second.params, whole.params)
    np.testing.assert_array_equal(second.losses, whole.losses[:, 5:])
    np.testing.assert_array_equal(second.state.steps, [12, 12])
    again = ensemble.run(99, 7, X, Y, batch_size=7, **at, **QUIET)  # it was not spent
    np.testing.assert_array_equal(again.losses, second.losses)


def test_a_state_that_was_kept_goes_on(ensemble, tmp_path):
    first = ensemble.run(0, 5, X, Y, batch_size=7, **QUIET)
    first.save(tmp_path / "f")
    kept = EnsembleResult.load(tmp_path / "f", state=ensemble.init(1)).state
    runs = [
        ensemble.run(0, 3, X, Y, batch_size=7, init_state=state, **QUIET)
        for state in (first.state, kept)
    ]
    np.testing.assert_array_equal(runs[1].losses, runs[0].losses)
    with pytest.raises(ValueError, match="data: other values in `argument 1`"):
        ensemble.run(0, 3, X, 2 * Y, init_state=kept, **QUIET)


def test_states_of_other_runs_are_refused(ensemble):
    state = ensemble.run(0, 2, X, Y, **QUIET).state
    with pytest.raises(ValueError, match="optimizer: `step_size`"):
        make(optax.adam(0.5)).run(0, 2, X, Y, init_state=state, **QUIET)
    with pytest.raises(ValueError, match="members: 2, here 3"):
        make(size=3).run(0, 2, X, Y, init_state=state, **QUIET)
    with pytest.raises(ValueError, match="data: other values in `argument 0`"):
        ensemble.run(0, 2, X + 1, Y, init_state=state, **QUIET)
    on_purpose = state._replace(description=None)
    assert ensemble.run(0, 2, X + 1, Y, init_state=on_purpose, **QUIET).losses.shape == (
        2,
        2,
    )


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(ensemble, tmp_path):
    plain = ensemble.run(0, 25, X, Y, batch_size=7, validation=0.2, **QUIET)
    asked = {"batch_size": 7, "validation": 0.2, **QUIET}
    path = Checkpoint(tmp_path / "f", every=3)

    def fail(progress):
        if progress.step >= 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensemble.run(0, 25, X, Y, checkpoint=path, callbacks=fail, **asked)
    resumed = ensemble.run(0, 25, X, Y, checkpoint=path, **asked)
    np.testing.assert_array_equal(resumed.losses, plain.losses)
    np.testing.assert_array_equal(resumed.params, plain.params)
    for one, other in zip(resumed.validation, plain.validation, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="belongs to another run: data: other values"):
        ensemble.run(0, 25, X, Y + 1, checkpoint=path, **asked)
    with pytest.raises(ValueError, match=r"belongs to another run.*`step_size`"):
        make(optax.adam(0.5)).run(0, 25, X, Y, checkpoint=path, **asked)


@pytest.mark.parametrize("form", ["pair", "names"])
def test_the_score_is_the_log_likelihood_of_a_row(ensemble, form):
    pair = (X[:6] + 1, Y[:6])
    given = pair if form == "pair" else dict(zip("xy", pair, strict=True))
    found = ensemble.run(0, 10, X, Y, validation=given, **QUIET)
    for e in range(2):
        loglik, _ = linear(found.params[e], *pair)
        np.testing.assert_allclose(
            found.validation.log_density[e, -1], loglik / 6, rtol=1e-5
        )


AT = np.array([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0]])


@pytest.mark.parametrize("on", ["loss", "validation"])
def test_stopping_gives_the_best(on):
    """Held-out rows that ask for half of the coefficients; a loss that no step lowers enough."""
    half = (X, Y / 2)
    rule = EarlyStopping(patience=20, on=on, min_delta=0.0 if on == "validation" else 1e9)
    found = make(optax.adam(0.02)).run(
        0, 400, X, Y, init=AT, validation=half, early_stopping=rule, **QUIET
    )  # fmt: skip
    assert found.losses.shape[1] < 400
    if on == "loss":
        return np.testing.assert_array_equal(found.params, AT)
    best = found.validation.log_density.max(1)
    scores = [linear(p, *half)[0] / len(Y) for p in found.params]
    np.testing.assert_allclose(scores, best, rtol=1e-5)
    assert (best > found.validation.log_density[:, -1]).all()


def test_members_that_are_told_to_start_alike(ensemble):
    with pytest.warns(
        UserWarning, match="members are identical.*Give different `init` values"
    ):
        ensemble.run(0, 2, X, Y, init=np.zeros(3), **QUIET)


def test_kinds(ensemble):
    with pytest.raises(
        TypeError, match="`early_stopping` must be an EarlyStopping, got True"
    ):
        ensemble.run(0, 2, X, Y, early_stopping=True, **QUIET)
    with pytest.raises(TypeError, match="`checkpoint` must be a Checkpoint, got 'fit'"):
        ensemble.run(0, 2, X, Y, checkpoint="fit", **QUIET)


def meaned(w, x, y):
    return -jnp.mean((y - x @ w) ** 2), -jnp.sum(w**2)


def test_a_likelihood_that_is_no_sum_is_not_scored():
    with pytest.raises(ValueError, match="`validation` scores rows by the log likelihood"):
        make(log_joint=meaned).run(0, 3, X, Y, validation=0.2, **QUIET)
    with pytest.raises(
        ValueError, match=r"`validation` must be one of \['x', 'y'\], got 'z'"
    ):
        make().run(0, 3, X, Y, validation={"z": X}, **QUIET)
