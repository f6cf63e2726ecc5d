"""A file of records that grows at its end: each record is there whole, or it is not read.

A record is a line, ``checksum length``, and as many bytes. Its checksum is of the one before it,
too, so that records neither change their places nor go missing unnoticed. A line without a
length, of older files, begins one record that takes all the rest.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from ._file import lock, place_of, replace_whole

_LINE = re.compile(rb"([0-9a-f]{32})(?: (\d{1,18}))?\n")
_LONGEST_LINE = 64

Buffer: TypeAlias = bytes | memoryview


class End(NamedTuple):
    """Where a writer left its file, which it alone has written since.

    Args:
        file: The device and the number of the file.
        size: Its bytes.
        anew: Its bytes when it was written anew.
        checksum: That of the last record.
    """

    file: tuple[int, int]
    size: int
    anew: int
    checksum: bytes


def write_record(path: str | Path, content: Buffer) -> End:
    """Write a file of one record, in place of the one that is there; see `replace_whole`."""
    checksum = _checksum(b"", content)
    line = _line(checksum, content)
    found: list[os.stat_result] = []

    def write(file: BinaryIO) -> None:
        file.writelines((line, content))
        file.flush()
        found.append(os.fstat(file.fileno()))

    replace_whole(path, write)
    return End(_number(found[0]), found[0].st_size, found[0].st_size, checksum)


def append_record(path: str | Path, end: End, content: Buffer) -> End | None:
    """Write one more record at the end of the file, and put it onto the disk.

    A file that could not take it is as before.

    Args:
        path: The file.
        end: Where this writer left it.
        content: What the record holds.

    Returns:
        Its new end; None if it is to be written anew: it would be twice as long as it was when
        that was done last, another writer has replaced it, or it cannot be locked.
    """
    checksum = _checksum(end.checksum, content)
    record = _line(checksum, content), content
    size = end.size + len(record[0]) + memoryview(content).nbytes
    if size > 2 * end.anew:
        return None
    place = place_of(path)
    try:
        file = place.open("r+b")
    except OSError:  # it is gone, or may be replaced only
        return None
    with file:
        if not lock(file) or not _is_ours(file.fileno(), place, end):
            return None
        try:
            file.seek(end.size)
            file.writelines(record)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), end.size)
            raise
    return end._replace(size=size, checksum=checksum)


def read_records(content: bytes) -> tuple[list[bytes], bool]:
    """The records up to the first that is not whole, and whether there is such a one."""
    found: list[bytes] = []
    at, last = 0, b""
    while at < len(content):
        line = _LINE.match(content, at, at + _LONGEST_LINE)
        if line is None:
            return found, True
        begin = line.end()
        stop = len(content) if line[2] is None else begin + int(line[2])
        record = content[begin:stop]
        if stop > len(content) or _checksum(last, record) != line[1]:
            return found, True
        found.append(record)
        at, last = stop, line[1]
    return found, not found


def _line(checksum: bytes, content: Buffer) -> bytes:
    return checksum + b" %d\n" % memoryview(content).nbytes


def _checksum(last: bytes, content: Buffer) -> bytes:
    digest = hashlib.blake2b(last, digest_size=16)
    digest.update(content)
    return digest.hexdigest().encode()


def _is_ours(descriptor: int, place: Path, end: End) -> bool:
    """Whether the open file is what this writer left, and still has its name."""
    found = os.fstat(descriptor)
    if _number(found) != end.file or found.st_size != end.size:
        return False
    try:
        return _number(place.stat()) == end.file
    except OSError:
        return False


def _number(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
