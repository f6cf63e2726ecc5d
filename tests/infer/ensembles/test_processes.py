"""Two processes, of two devices each, have the numbers of one."""

import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

from numpyro_bayeslayers.infer import Checkpoint, EnsembleResult
from tests.infer.processes import BATCH, STEPS, X, Y, everything, svi

FLAGS = (
    "--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)


def started(case, folder, count, devices=2):
    """The processes of a program, which have begun."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    env = os.environ | {"XLA_FLAGS": FLAGS.format(devices=devices), "JAX_PLATFORMS": "cpu"}
    program = [sys.executable, "-m", "tests.infer.processes", case, str(folder)]
    return [
        subprocess.Popen(
            [*program, str(i), str(count), str(port)],
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for i in range(count)
    ]


def outputs(processes, timeout=1200):
    """What they print, once all have ended well."""
    try:
        found = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for process, (_, errors) in zip(processes, found, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [out for out, _ in found]


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)


def test_two_processes_are_one(tmp_path):
    """Members and rows over two processes: the result, and a run taken up by one process."""
    outputs(started("minibatches", tmp_path, 2))
    found = EnsembleResult.load(tmp_path / "result.safetensors")
    alone = svi()
    quiet = {"batch_size": BATCH, "progress_bar": False}
    wanted = alone.run(0, STEPS, X, Y, **quiet)
    close(found.losses, wanted.losses)
    for name, value in wanted.params.items():
        close(found.params[name], value)
    checkpoint = Checkpoint(tmp_path / "run.ckpt", every=10)
    taken_up = alone.run(0, STEPS + 10, X, Y, checkpoint=checkpoint, **quiet)
    uninterrupted = alone.run(0, STEPS + 10, X, Y, **quiet)
    close(taken_up.losses, uninterrupted.losses)
    close(taken_up.params["w_auto_loc"], uninterrupted.params["w_auto_loc"])


@pytest.mark.slow
@pytest.mark.parametrize(("count", "devices"), [(2, 2), (4, 1)])
def test_all_that_runs_over_processes(tmp_path, count, devices):
    """Every class, over processes and alone; a run of one process is taken up by several."""
    alone = tmp_path / "alone"
    alone.mkdir()
    ensemble = svi()
    quiet = {"batch_size": BATCH, "progress_bar": False}
    ensemble.run(
        0, STEPS, X, Y, checkpoint=Checkpoint(tmp_path / "taken.ckpt", every=10), **quiet
    )
    shutil.copy(tmp_path / "taken.ckpt", alone)
    wanted = everything(alone, {"mesh": None, "data_axis": None})
    said = outputs(started("everything", tmp_path, count, devices))
    for out in said:
        assert "must be given the same arguments, but they differ in `argument 1`" in out
    for i in range(count):
        found = np.load(tmp_path / f"{count}.{i}.npz")
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            if name != "nuts":  # where rounding decides about the length of a trajectory
                close(found[name], value)
        # Of 40 draws, by the distance of means of chains: 4 standard errors.
        spread = np.asarray(value := wanted["nuts"]).std((0, 1)) / np.sqrt(20)
        assert (np.abs(found["nuts"].mean((0, 1)) - value.mean((0, 1))) < 4 * spread).all()


@pytest.mark.slow
def test_one_process_ends(tmp_path):
    """The other ends too, and says what to do; started again, the run goes on."""
    first, last = started("one ends", tmp_path, 2)
    _, errors = first.communicate(timeout=1200)
    last.communicate(timeout=60)
    assert last.returncode == -9
    assert first.returncode != 0
    assert "start all of them again; with `checkpoint=`" in errors, errors[-3000:]
    quiet = {"batch_size": BATCH, "progress_bar": False}
    checkpoint = Checkpoint(tmp_path / "killed.ckpt", every=10)
    ensemble = svi()
    ended = ensemble.run(0, 200, X, Y, checkpoint=checkpoint, **quiet)
    wanted = ensemble.run(0, 200, X, Y, **quiet)
    close(ended.params["w_auto_loc"], wanted.params["w_auto_loc"])
