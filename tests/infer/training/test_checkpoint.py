"""A run that was killed goes on to the numbers of one that was not."""

import jax
import numpy as np
import optax
import pytest
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import Checkpoint, EarlyStopping, EnsembleSVI
from tests.infer.svi_problems import X, Y, model

pytestmark = pytest.mark.usefixtures("as_users_run")


class Killed(BaseException):
    pass


def run(steps, key=0, num_members=2, **kwargs):
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=num_members)
    return ensemble.run(jax.random.key(key), steps, X, Y, progress_bar=False, **kwargs)


@pytest.fixture
def kill(monkeypatch):
    """Makes the run die just after its n-th save."""

    def after(saves):
        real, count = Checkpoint.save, iter(range(1, 1000))

        def save(self, *args, **kwargs):
            real(self, *args, **kwargs)
            if next(count) == saves:
                raise Killed

        monkeypatch.setattr(Checkpoint, "save", save)

    yield after
    monkeypatch.undo()


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": 5}, {"early_stopping": EarlyStopping(patience=1000)}],
    ids=["full", "minibatch", "early stopping"],
)
def test_resumes_to_the_same_numbers(tmp_path, kill, monkeypatch, options):
    """Bitwise: parameters, losses and state. Saves fall in the middle of a pass."""
    plain = run(25, **options)
    checkpoint = Checkpoint(tmp_path / "fit", every=3)
    kill(4)
    with pytest.raises(Killed):
        run(25, checkpoint=checkpoint, **options)
    monkeypatch.undo()
    resumed = run(25, checkpoint=checkpoint, **options)
    for name, value in plain.params.items():
        np.testing.assert_array_equal(resumed.params[name], value)
    np.testing.assert_array_equal(resumed.losses, plain.losses)
    assert [p.name for p in tmp_path.iterdir()] == ["fit"], "nothing is left behind"
    finished = run(25, checkpoint=checkpoint, **options)
    np.testing.assert_array_equal(finished.losses, plain.losses)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    import equinox as eqx

    checkpoint = Checkpoint(tmp_path / "fit", every=5)
    run(5, checkpoint=checkpoint)
    before = (tmp_path / "fit").read_bytes()

    def fail(file, tree):
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(eqx, "tree_serialise_leaves", fail)
    with pytest.raises(OSError, match="disk is full"):
        run(10, checkpoint=checkpoint)
    assert (tmp_path / "fit").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_other_runs_are_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit")
    run(3, checkpoint=checkpoint)
    with pytest.raises(
        ValueError, match=r"is of another run: it has `key` \[0, 0\], this run"
    ):
        run(3, key=1, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="it has `members` 2, this run has 3"):
        run(3, num_members=3, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="it has `batch_size` None, this run has 4"):
        run(3, batch_size=4, checkpoint=checkpoint)
    (tmp_path / "fit").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="is of another run: it has `format` None"):
        run(3, checkpoint=checkpoint)


def test_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="The folder of `path` must exist"):
        run(3, checkpoint=Checkpoint(tmp_path / "no" / "fit"))
    with pytest.raises(ValueError, match="`every` must be a positive integer, got 0"):
        run(3, checkpoint=Checkpoint(tmp_path / "fit", every=0))
