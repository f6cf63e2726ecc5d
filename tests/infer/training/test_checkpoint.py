"""A run that was killed goes on to the numbers of one that was not."""

import functools
import hashlib
import io
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import Checkpoint, EarlyStopping, EnsembleSVI
from numpyro_bayeslayers.infer.training._trainer import Around, Trainer
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
            last = real(self, *args, **kwargs)
            if next(count) == saves:
                raise Killed
            return last

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
        ValueError, match=r"belongs to another run: it has `key` \[0, 0\], this run"
    ):
        run(3, key=1, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="belongs to another run: members: 2, here 3"):
        run(3, num_members=3, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="it has `batch_size` None, this run has 4"):
        run(3, batch_size=4, checkpoint=checkpoint)


def line(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 10))
    numpyro.sample("y", dist.Normal(w * x, 1.0), obs=y)


def bent(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 10))
    numpyro.sample("y", dist.Normal(w * jax.nn.relu(x), 1.0), obs=y)


def test_what_a_run_is_of_is_in_the_checkpoint(tmp_path):
    """Data, model, start and optimizer of one shape each: what the file held was given back."""
    path = Checkpoint(tmp_path / "fit")
    x = np.arange(6.0)
    asked = {"progress_bar": False, "checkpoint": path}

    def fitted(y=2 * x, rate=0.05, model=line, guide=AutoNormal):
        ensemble = EnsembleSVI(model, guide, optax.adam(rate), num_members=1)
        return ensemble.run(0, 3, x, y, **asked)

    first = fitted()
    np.testing.assert_array_equal(fitted().params["w_auto_loc"], first.params["w_auto_loc"])
    with pytest.raises(
        ValueError, match=r"data: other values in `argument 1`.*different paths"
    ):
        fitted(y=-2 * x)  # another fold of a cross-validation
    with pytest.raises(ValueError, match=r"optimizer: `step_size` -0\.05, here -1e-09"):
        fitted(rate=1e-9)
    with pytest.raises(ValueError, match="model: line, here bent; model: other code"):
        fitted(model=bent)
    with pytest.raises(ValueError, match=r"start: `_init_scale` 0\.1, here 0\.5"):
        fitted(guide=functools.partial(AutoNormal, init_scale=0.5)(line))


DAMAGES = {
    "a bit of the hash": lambda content: (
        content[:10] + bytes([content[10] ^ 1]) + content[11:]
    ),
    "a bit of the table": lambda content: (
        content[:60] + bytes([content[60] ^ 1]) + content[61:]
    ),
    "a bit of the arrays": lambda content: (
        content[:-10] + bytes([content[-10] ^ 1]) + content[-9:]
    ),
    "half of it": lambda content: content[: len(content) // 2],
    "nothing": lambda content: b"",
    "no line": lambda content: content[:20],
    "text of others": lambda content: b'{"a": 1}\n',
    "bytes of others": lambda content: b"PK\x03\x04" + content[::-1],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_said_in_one_way(tmp_path, damage):
    path = tmp_path / "fit"
    state = {"w": np.arange(30.0)}
    Checkpoint(path).save(state, np.zeros((2, 3)), {"key": 1})
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError, match="is damaged, or not a checkpoint: it contains"):
        Checkpoint(path).load(state, 2, {"key": 1})


def test_a_folder_that_cannot_be_written_to_is_said_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="must be writable"):
        Checkpoint(tmp_path / "fit").check()
    monkeypatch.undo()
    with pytest.raises(IsADirectoryError, match="must be a file, got the folder"):
        Checkpoint(tmp_path).check()


def test_a_home_folder_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Checkpoint("~/fit").save({"w": np.ones(2)}, np.zeros((1, 1), np.float32), {})
    assert (tmp_path / "fit").exists()
    assert Checkpoint("~/fit").load({"w": np.zeros(2)}, 1, {})[0]["w"].tolist() == [1, 1]


@pytest.mark.parametrize("bar", [False, True])
@pytest.mark.parametrize("callbacks", [(), (lambda progress: None,)])
def test_saves_come_after_so_many_steps_and_at_the_end(
    tmp_path, monkeypatch, bar, callbacks
):
    """A progress bar and callbacks, which part the run in twenty, save no more often."""
    steps = []
    save = lambda self, state, losses, *rest, **last: steps.append(losses.shape[1])
    monkeypatch.setattr(Checkpoint, "save", save)
    loop = Trainer(lambda state, *_: (state, jnp.zeros(1)), lambda state: state)
    shown = {"shown": lambda params: params, "size": 1, "work": 1, "key": jax.random.key(0)}
    around = Around(None, Checkpoint(tmp_path / "fit", every=40), callbacks)
    loop.run(jnp.zeros(1), (), 100, around, progress_bar=bar, **shown)
    assert steps == [40, 80, 100]


def series(path, saves, every=10, size=20):
    """A run of so many saves whose state are `size` numbers; its last state and losses."""
    losses = np.arange(2.0 * saves * every, dtype=np.float32).reshape(2, -1)
    last = None
    for i in range(saves):
        state = {"w": np.full(size, i)}
        here = losses[:, : (i + 1) * every]
        last = Checkpoint(path).save(state, here, {"key": 1}, last=last)
    return state, losses


def loaded(path, size=20):
    return Checkpoint(path).load({"w": np.zeros(size, int)}, 2, {"key": 1})


def test_what_was_saved_is_not_written_again(tmp_path, monkeypatch):
    """Bytes grow with the steps and not with their square, and the file with what it holds.

    Ten times the saves write less than 16 times as much; each wrote all losses before, which
    makes 55 times as much here.
    """
    path, written = tmp_path / "fit", []
    put = os.fsync

    def counting(descriptor):
        if not os.path.isdir(f"/dev/fd/{descriptor}"):
            written.append(os.fstat(descriptor).st_size)
        put(descriptor)

    def bytes_of(saves):
        """Each file that is written anew, and what was appended to it."""
        written.clear()
        state, losses = series(path, saves, every=100)
        total, before = 0, 0
        for size in written:
            total += size - before if size > before else size
            before = size
        found, known, _ = loaded(path)
        np.testing.assert_array_equal(found["w"], state["w"])
        np.testing.assert_array_equal(known, losses)
        assert path.stat().st_size < 2.5 * losses.nbytes
        path.unlink()
        return total

    monkeypatch.setattr(os, "fsync", counting)
    few = bytes_of(10)
    assert bytes_of(100) < 16 * few


def test_a_save_that_was_broken_off_is_left_out(tmp_path):
    """At whatever byte: the run goes on from the save before, or the file says it is damaged."""
    path, cut = tmp_path / "fit", tmp_path / "cut"
    series(path, 1)
    one = len(path.read_bytes())
    series(path, 2)
    whole = path.read_bytes()
    assert one < len(whole) < 2 * one, "the second save was appended"
    for size in range(one + 1, len(whole), 7):
        cut.write_bytes(whole[:size])
        with pytest.warns(UserWarning, match="not whole.*goes on from .* after 10 steps"):
            found, losses, _ = loaded(cut)
        assert found["w"][0] == 0 and losses.shape == (2, 10)
    for place in range(one + 1, len(whole), 11):
        cut.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.warns(UserWarning, match="after 10 steps"):
            assert loaded(cut)[1].shape == (2, 10)
    cut.write_bytes(whole + b"0")
    with pytest.warns(UserWarning, match="after 20 steps"):
        assert loaded(cut)[0]["w"][0] == 1


def test_a_save_that_cannot_be_appended_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / "fit"
    state, losses = {"w": np.zeros(20, int)}, np.zeros((2, 10), np.float32)
    last = Checkpoint(path).save(state, losses, {"key": 1})
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk is full"):
            Checkpoint(path).save(state, np.zeros((2, 20)), {"key": 1}, last=last)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_two_runs_that_save_in_turns_leave_a_whole_file_of_one(tmp_path):
    """Each sees that the file is not as it left it, and writes all of its own."""
    path = tmp_path / "fit"
    ends = {0: None, 1: None}
    for steps in (10, 20, 30, 40):
        for run in (0, 1):
            losses = np.full((2, steps), run, np.float32)
            state = {"w": np.full(20, run)}
            ends[run] = Checkpoint(path).save(state, losses, {"key": 1}, last=ends[run])
            found, known, _ = loaded(path)
            np.testing.assert_array_equal(known, losses)
            assert found["w"][0] == run


def test_files_of_the_version_before_are_read(tmp_path):
    """A line of the checksum alone, and one record of all steps."""
    state, losses = {"w": np.arange(20)}, np.ones((2, 10), np.float32)
    body = io.BytesIO()
    body.write(b'{"format": 3, "steps": 10, "looks": 0, "key": 1}\n')
    nothing = np.zeros(0, np.int32), np.zeros((2, 0), np.float32)
    eqx.tree_serialise_leaves(body, (state, losses, nothing))
    content = body.getvalue()
    first = hashlib.blake2b(content, digest_size=16).hexdigest().encode()
    (tmp_path / "fit").write_bytes(first + b"\n" + content)
    found, known, seen = loaded(tmp_path / "fit")
    np.testing.assert_array_equal(found["w"], state["w"])
    np.testing.assert_array_equal(known, losses)
    assert len(seen.steps) == 0


def test_numbers_of_numpy_are_numbers(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit", every=np.int64(2))
    rule = EarlyStopping(
        patience=np.int64(30), min_delta=np.float32(0), decay=np.float64(0.9)
    )
    first = run(4, checkpoint=checkpoint, early_stopping=rule)
    again = run(4, checkpoint=checkpoint, early_stopping=EarlyStopping(patience=30))
    np.testing.assert_array_equal(again.losses, first.losses)


def test_going_on_with_a_checkpoint(tmp_path):
    """The state to go on from is a start like any other; the file is of the run after it."""
    first = run(4, batch_size=5)
    asked = {
        "batch_size": 5,
        "init_state": first.state,
        "checkpoint": Checkpoint(tmp_path / "f"),
    }
    second, again = run(3, **asked), run(3, **asked)
    np.testing.assert_array_equal(second.losses, run(7, batch_size=5).losses[:, 4:])
    np.testing.assert_array_equal(again.losses, second.losses)
    with pytest.raises(ValueError, match="it has `taken` 4, this run has 0"):
        run(3, batch_size=5, checkpoint=asked["checkpoint"])


def test_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="The folder of `path` must exist"):
        run(3, checkpoint=Checkpoint(tmp_path / "no" / "fit"))
    with pytest.raises(ValueError, match="`every` must be a positive integer, got 0"):
        run(3, checkpoint=Checkpoint(tmp_path / "fit", every=0))
