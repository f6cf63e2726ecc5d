"""Records at the end of a file: each is whole, or it is left out."""

import os

from numpyro_bayeslayers._storage import append_record, read_records, write_record

LONG = bytes(range(256))


def test_records_are_read_back_in_their_order(tmp_path):
    path = tmp_path / "file"
    end = append_record(path, write_record(path, LONG), b"one\n")
    end = append_record(path, end, b"")
    assert read_records(path.read_bytes()) == ([LONG, b"one\n", b""], False)
    assert path.stat().st_size == end.size


def test_records_that_are_gone_or_change_places_are_noticed(tmp_path):
    path, parts = tmp_path / "file", []
    end = write_record(path, LONG)
    for content in (b"one", b"two"):
        before = path.stat().st_size
        end = append_record(path, end, content)
        parts.append(path.read_bytes()[before:])
    first = path.read_bytes()[: -len(parts[0] + parts[1])]
    assert read_records(first + parts[1]) == ([LONG], True)
    assert read_records(first + parts[1] + parts[0]) == ([LONG], True)
    assert read_records(parts[0]) == ([], True)
    assert read_records(b"") == ([], True)


def test_a_file_is_written_anew_when_it_would_be_twice_as_long(tmp_path):
    end = write_record(tmp_path / "file", LONG)
    assert append_record(tmp_path / "file", end, LONG + LONG) is None
    assert read_records((tmp_path / "file").read_bytes()) == ([LONG], False)


def test_files_of_others_are_not_appended_to(tmp_path):
    """Another file of that name, a longer one, one that is gone, one that may not be written to."""
    path = tmp_path / "file"
    end = write_record(path, LONG)
    write_record(path, LONG)
    assert append_record(path, end, b"one") is None
    end = write_record(path, LONG)
    with path.open("ab") as file:
        file.write(b"0")
    assert append_record(path, end, b"one") is None
    path.unlink()
    assert append_record(path, end, b"one") is None


def test_links_and_rights_stay(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    end = write_record(path, LONG)
    path.chmod(0o640)
    os.symlink(path, link)
    assert append_record(link, end, b"one") is not None
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert read_records(path.read_bytes())[0] == [LONG, b"one"]
