"""Files: whole or not there, read back bit for bit, refused if damaged or foreign."""

import json
import os
import pickle
import stat
import threading

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from numpyro_bayeslayers._storage import Kind, read_file, replace_whole, write_file

pytestmark = pytest.mark.usefixtures("as_users_run")

KIND = Kind("a thing", "thing.load(path)")
HEADER = {"words": ["café", "\n\"'"], "number": 0.1, "none": None}


def arrays():
    draw = np.random.default_rng(0)
    return {
        "matrix": draw.normal(size=(3, 4)),
        "turned": np.asfortranarray(draw.normal(size=(3, 4))),
        "cut": draw.normal(size=(6, 4)).astype(np.float32)[::2, 1:],
        "big-endian": np.arange(3, dtype=">i4"),
        "number": np.asarray(7, np.int64),
        "none": np.zeros((0, 3), np.float32),
        "is": np.array([True, False]),
        "half": np.asarray(jnp.asarray([1.5, np.nan, -np.inf], jnp.bfloat16)),
        "complex": np.array([[1 + 2j]], np.complex128),
        "empty complex": np.zeros((2, 0), np.complex64),
    }


@pytest.fixture
def path(tmp_path):
    write_file(tmp_path / "thing", KIND, HEADER, arrays())
    return tmp_path / "thing"


def test_a_file_is_read_back_bit_for_bit(path):
    header, found = read_file(path, KIND)
    assert header == HEADER
    assert found.keys() == arrays().keys()
    for name, array in arrays().items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")
        native = array.astype(array.dtype.newbyteorder("="))
        assert found[name].tobytes() == native.tobytes()


def test_other_programs_read_the_arrays(path):
    """Against the library of the format."""
    np.testing.assert_array_equal(load_file(path)["turned"], arrays()["turned"])
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["content"])["header"] == HEADER


def test_what_stood_there_is_replaced_and_nothing_else_is_left(path):
    write_file(str(path), KIND, {"second": True}, {})
    assert read_file(path, KIND) == ({"second": True}, {})
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
def test_the_rights_are_those_of_any_new_file(path):
    other = path.parent / "other"
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_a_link_stays_a_link(path):
    link = path.parent / "link"
    link.symlink_to(path)
    write_file(link, KIND, {"second": True}, {})
    assert link.is_symlink()
    assert read_file(path, KIND)[0] == {"second": True}


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
def test_a_file_that_is_replaced_keeps_its_rights(path):
    path.chmod(0o640)
    write_file(path, KIND, {"second": True}, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="needs locks of POSIX")
def test_what_a_killed_writer_left_is_removed_and_a_live_one_is_not_disturbed(path):
    """A writer that is killed in the middle of a file, and one that is in the middle now."""
    folder = path.parent
    (folder / f".{path.name}.0123abcd").write_bytes(b"half")
    (folder / f".{path.name}.notours").write_bytes(b"of others")

    def write(file):
        file.write(b"first")
        replace_whole(path, lambda other: other.write(b"second"))

    replace_whole(path, write)
    assert path.read_bytes() == b"first"
    assert sorted(os.listdir(folder)) == [f".{path.name}.notours", path.name]


def test_two_writers_leave_one_whole_file(tmp_path):
    path, texts = tmp_path / "thing", [bytes([i]) * 100_000 for i in range(4)]

    def work(text):
        for _ in range(5):
            replace_whole(path, lambda file: file.write(text))

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in texts
    assert os.listdir(tmp_path) == ["thing"]


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_file_that_could_not_be_written_leaves_the_old_one(path, monkeypatch, at):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, at, fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, KIND, {}, arrays())
    assert os.listdir(path.parent) == [path.name]
    assert read_file(path, KIND)[0] == HEADER


def test_the_file_is_on_the_disk_before_it_has_its_name(path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (done.append("fsync"), fsync(f)))
    monkeypatch.setattr(os, "replace", lambda *a: (done.append("replace"), replace(*a)))
    write_file(path, KIND, {}, arrays())
    assert done == ["fsync", "replace", "fsync"]


def test_every_change_of_a_byte_is_noticed(path):
    data, whole, errors = path.read_bytes(), read_file(path, KIND)[1], []
    size = int.from_bytes(data[:8], "little")
    for place in [*range(0, len(data), 7), len(data) - 1, 8 + size]:
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            header, found = read_file(path, KIND)
        except ValueError as error:
            errors.append(str(error))
            continue
        # Spaces that fill the header up are no part of what it says.
        assert 8 <= place < 8 + size
        assert header == HEADER
        assert all(x.tobytes() == found[n].tobytes() for n, x in whole.items())
    assert all(str(path) in error for error in errors)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_every_truncation_is_noticed(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"damaged|not saved by"):
        read_file(path, KIND)


def test_what_stands_behind_the_end_is_noticed(path):
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="damaged"):
        read_file(path, KIND)


def archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(pickle.dumps({"a": 1})),
        archive,
        lambda path: path.write_text('{"a": 1}\n' * 100),
        lambda path: save_file({"a": np.ones(3)}, path),
        lambda path: save_file({"a": np.ones(3)}, path, metadata={"format": "pt"}),
    ],
)
def test_files_of_others_are_refused(path, write):
    write(path)
    with pytest.raises(ValueError, match="was not saved by numpyro_bayeslayers, or"):
        read_file(path, KIND)


def test_another_kind_says_what_reads_it(path):
    message = r"must contain a fit, but contains a thing. Load it with `thing.load\(path\)`"
    with pytest.raises(ValueError, match=message):
        read_file(path, Kind("a fit", "load(path)"))


def test_a_later_format_asks_for_a_later_version(path, monkeypatch):
    from numpyro_bayeslayers._storage import _file

    monkeypatch.setattr(_file, "_FORMAT", 2)
    write_file(path, KIND, {}, {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"has format 2, but .* formats up to 1. Install"):
        read_file(path, KIND)


def test_paths_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder of `path` must exist, got .*none"):
        write_file(tmp_path / "none" / "thing", KIND, {}, {})
    with pytest.raises(IsADirectoryError, match="must be a file, got the folder"):
        write_file(tmp_path, KIND, {}, {})
    with pytest.raises(TypeError, match="`path` must be the name of a file, got None"):
        write_file(None, KIND, {}, {})
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", KIND)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, KIND)


def test_objects_are_no_arrays(tmp_path):
    with pytest.raises(TypeError, match="must hold numbers, got the type 'object'"):
        write_file(tmp_path / "thing", KIND, {}, {"x": np.array([object()])})


def test_a_header_that_no_reader_takes_is_not_written(tmp_path, monkeypatch):
    from numpyro_bayeslayers._storage import _file

    monkeypatch.setattr(_file, "_MOST_HEADER", 100)
    with pytest.raises(ValueError, match="at most 100 characters of JSON, got"):
        write_file(tmp_path / "thing", KIND, {"words": ["word"] * 50}, {})
