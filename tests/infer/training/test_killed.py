"""Runs that are killed, run out of data or end in an error: nothing is lost, nothing is wrong."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import Checkpoint, EnsembleSVI
from tests.infer.svi_problems import X, Y, model

KILLS = 20
MOST_SAVES = 60  # of one process
STEPS = 2 * KILLS * MOST_SAVES
CHILD = """
import sys
import numpy as np
from tests.infer.training.test_killed import STEPS, run
from numpyro_bayeslayers.infer import Checkpoint
path, out = sys.argv[1:]
save = Checkpoint.save
def told(self, *args, **last):
    print("saves", flush=True)
    return save(self, *args, **last)
Checkpoint.save = told
result = run(STEPS, checkpoint=Checkpoint(path, every=1))
np.savez(out, losses=result.losses, **result.params)
"""


def members(rate=0.05):
    return EnsembleSVI(model, AutoNormal, optax.adam(rate), num_members=2)


def run(steps, of=None, **kwargs):
    of = members() if of is None else of
    return of.run(0, steps, X, Y, progress_bar=False, batch_size=4, **kwargs)


@pytest.mark.slow
def test_twenty_kills_change_no_bit(tmp_path):
    """Processes that are killed at any moment, in the middle of saves too."""
    draw, path, out = random.Random(0), tmp_path / "fit", tmp_path / "out.npz"
    command = [sys.executable, "-c", CHILD, str(path), str(out)]
    folder = Path(__file__).parents[3]
    for _ in range(KILLS):
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(draw.randint(1, MOST_SAVES)):
                assert child.stdout.readline() == b"saves\n"
            time.sleep(draw.uniform(0.0, 0.005))
            child.send_signal(signal.SIGKILL)
    assert not out.exists()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    plain, found = run(STEPS), np.load(out)
    np.testing.assert_array_equal(found["losses"], plain.losses)
    for name, value in plain.params.items():
        np.testing.assert_array_equal(found[name], value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fit", "out.npz"]


def test_ctrl_c_keeps_what_was_saved_and_the_object(tmp_path):
    """The same object goes on, to the numbers of a run that was not interrupted."""
    of, checkpoint = members(), Checkpoint(tmp_path / "fit", every=5)

    def interrupt(progress):
        if progress.step >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(20, of, checkpoint=checkpoint, callbacks=interrupt)
    resumed = run(20, of, checkpoint=checkpoint)
    np.testing.assert_array_equal(resumed.losses, run(20, of).losses)
    assert [p.name for p in tmp_path.iterdir()] == ["fit"]


def test_batches_that_end_in_an_error_leave_the_object_as_it_was():
    of = members()

    def batches():
        yield X[:4], Y[:4]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        of.run_batches(0, batches(), num_rows=len(X), progress_bar=False)
    three = [(X[:4], Y[:4])] * 3
    again = of.run_batches(0, three, num_rows=len(X), progress_bar=False)
    assert np.isfinite(again.losses).all()


def test_members_that_are_all_nan_are_named_and_draw_nothing():
    of = members(rate=float("inf"))
    with pytest.warns(UserWarning, match="member 0 from step 1, member 1 from step 1"):
        result = run(5, of)
    assert not np.isfinite(result.losses[:, -1]).any()
    assert jax.tree.leaves(result.params)[0].shape[0] == 2
