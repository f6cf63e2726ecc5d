"""Named arrays and a header in one file, written atomically.

The file is in the safetensors format. Its metadata has the kind of file, the header as JSON,
and a checksum.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None

_FORMAT = 1
# The metadata entry that identifies files of this package.
_MARK = "numpyro_bayeslayers"
# The types that all versions of safetensors can read.
_NATIVE = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
) | {"bool", "float16", "float32", "float64"}
# The limit of safetensors, minus space for the list of arrays.
_MOST_HEADER = 80_000_000

_FOREIGN = (
    "The file {path!r} was not saved by numpyro_bayeslayers, or its beginning is damaged."
)
_DAMAGED = (
    "The file {path!r} is damaged and cannot be read: {why}. Use a copy, or save it again."
)

Arrays: TypeAlias = dict[str, np.ndarray]


class Kind(NamedTuple):
    """The kind of a file.

    Args:
        name: A noun phrase, such as ``"a fit"``.
        loader: The call that loads such a file.
    """

    name: str
    loader: str


def write_file(
    path: str | Path, kind: Kind, header: dict[str, Any], arrays: Arrays
) -> None:
    """Write a file, replacing an existing one atomically.

    Args:
        path: The file, in an existing folder.
        kind: The kind of file.
        header: Values that JSON can represent.
        arrays: Arrays of numbers by name.

    Raises:
        FileNotFoundError: If the folder does not exist.
        IsADirectoryError: If `path` is a folder.
        TypeError: If `path` is not a path.
        ValueError: If the header is larger than the format allows.
    """
    from safetensors.numpy import save

    raw = {n: x.dtype.name for n, x in arrays.items() if x.dtype.name not in _NATIVE}
    for name in raw.values():
        _named_type(name)  # raises for types that `read_file` refuses
    text = json.dumps({"header": header, "raw": raw})
    if len(text) > _MOST_HEADER:
        raise ValueError(
            f"The header must be at most {_MOST_HEADER} characters of JSON, got {len(text)}. "
            "Store large lists as arrays, and strings as codes."
        )
    plain = {n: _as_bytes(x) if n in raw else _in_order(x) for n, x in arrays.items()}
    texts = {_MARK: str(_FORMAT), "kind": kind.name, "loader": kind.loader, "content": text}
    texts["checksum"] = _checksum(texts, plain)
    data = save(plain, metadata=texts)
    replace_whole(path, lambda file: file.write(data))


def read_file(path: str | Path, kind: Kind) -> tuple[dict[str, Any], Arrays]:
    """Read the header and the arrays of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If `path` is a folder.
        TypeError: If `path` is not a path.
        ValueError: If the file is damaged, of another kind, of a later version, or not from
            this package.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    given = str(_as_path(path))
    data = Path(given).read_bytes()
    texts = _texts(given, data)
    try:
        plain = load(data)
    except SafetensorError as error:
        raise ValueError(_DAMAGED.format(path=given, why=error)) from error
    if texts.get("checksum") != _checksum(texts, plain):
        why = "its checksum does not match its contents"
        raise ValueError(_DAMAGED.format(path=given, why=why))
    if texts["kind"] != kind.name:
        raise ValueError(
            f"The file {given!r} must contain {kind.name}, but contains {texts['kind']}. Load "
            f"it with `{texts['loader']}`."
        )
    content = json.loads(texts["content"])
    raw = content["raw"]
    arrays = {n: _of_bytes(x, raw[n]) if n in raw else x for n, x in plain.items()}
    return content["header"], arrays


def replace_whole(path: str | Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a temporary file, flush it to disk, and then rename it to `path`.

    The permissions of a replaced file are kept, and a link stays a link. Temporary files left
    by killed processes are removed.

    Args:
        path: The file, in an existing folder.
        write: A function that writes to the given file.

    Raises:
        FileNotFoundError: If the folder does not exist.
        IsADirectoryError: If `path` is a folder.
        TypeError: If `path` is not a path.
    """
    target = place_of(path)
    if target.is_dir():
        raise IsADirectoryError(f"`path` must be a file, got the folder {str(target)!r}.")
    _remove_left_over(target)
    file, new = _opened_beside(target)
    try:
        with file:
            write(file)
            if target.exists():
                os.chmod(new, stat.S_IMODE(target.stat().st_mode))
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:  # locked until here, so that no process removes it
                os.replace(new, target)
        if fcntl is None:  # on other systems an open file cannot be renamed
            os.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # on other systems a folder cannot be flushed
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def place_of(path: str | Path) -> Path:
    """The resolved location of a file, following links, in an existing folder.

    Raises:
        FileNotFoundError: If the folder does not exist.
        TypeError: If `path` is not a path.
    """
    target = Path(os.path.realpath(_as_path(path)))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"The folder of `path` must exist, got {str(target.parent)!r}."
        )
    return target


def _opened_beside(target: Path) -> tuple[BinaryIO, Path]:
    """A new temporary file next to `target`, locked while its writer is alive."""
    while True:
        new = target.parent / f".{target.name}.{secrets.token_hex(4)}"
        file = new.open("xb")
        if fcntl is None:
            return file, new
        lock(file)
        if new.exists():
            return file, new
        file.close()  # removed by another process just before it was locked


def lock(file: BinaryIO) -> bool:
    """Try to lock the file; False if it is locked or locks are not supported."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked by another writer, or no locks on this file system
        return False
    return True


def _remove_left_over(target: Path) -> None:
    """Remove temporary files of this target left by killed processes."""
    if fcntl is None:
        return
    is_ours = re.compile(re.escape(f".{target.name}.") + "[0-9a-f]{8}").fullmatch
    for name in filter(is_ours, os.listdir(target.parent)):
        with contextlib.suppress(OSError), (target.parent / name).open("rb") as file:
            if lock(file):
                os.unlink(file.name)


def _as_path(path: Any) -> Path:
    if not isinstance(path, (str, Path)) or not str(path):
        kind = type(path).__name__
        raise TypeError(f"`path` must be the name of a file, got {path!r} ({kind}).")
    return Path(path).expanduser()


def _texts(path: str, data: bytes) -> dict[str, str]:
    """The metadata of a file of this package, of a supported version."""
    size = int.from_bytes(data[:8], "little")
    try:
        texts = json.loads(data[8 : 8 + size])["__metadata__"]
        version = int(texts[_MARK])
        known = {name: texts[name] for name in ("kind", "loader", "content", "checksum")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(_FOREIGN.format(path=path)) from error
    if version > _FORMAT:
        raise ValueError(
            f"The file {path!r} has format {version}, but this version of numpyro_bayeslayers "
            f"reads formats up to {_FORMAT}. Install a later version."
        )
    return known | {_MARK: texts[_MARK]}


def _checksum(texts: dict[str, str], arrays: Arrays) -> str:
    """The checksum of the metadata and arrays."""
    digest = hashlib.blake2b(digest_size=32)
    parts = [f"{n}={texts[n]}" for n in (_MARK, "kind", "loader", "content")]
    digest.update("\n".join(parts).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _in_order(array: np.ndarray) -> np.ndarray:
    """The array as contiguous little-endian data."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """An array of a dtype that safetensors does not support, as bytes on a last axis."""
    whole = np.asarray(array, order="C")
    flat = whole.reshape(-1).view(np.uint8)
    return flat.reshape(*whole.shape, whole.dtype.itemsize)


def _of_bytes(array: np.ndarray, dtype: str) -> np.ndarray:
    flat = np.ascontiguousarray(array).reshape(-1).view(_named_type(dtype))
    return flat.reshape(array.shape[:-1])


def _named_type(name: str) -> np.dtype:
    """The numeric dtype with this name; object dtypes are refused."""
    if name in ("complex64", "complex128"):
        return np.dtype(name)
    dtype = np.dtype(getattr(ml_dtypes, name, object))
    if dtype.hasobject:
        raise TypeError(f"Arrays must hold numbers, got the type {name!r}.")
    return dtype
