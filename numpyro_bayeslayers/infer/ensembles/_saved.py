"""Convert a fitted ensemble to the header and arrays of a file, and back."""

from pathlib import Path
from typing import Any

import numpy as np

from ... import _processes
from ..._storage import (
    Kind,
    NotDataError,
    check_origin,
    origin,
    pack,
    pack_leaves,
    read_file,
    unpack,
    unpack_leaves,
    write_file,
)
from ..._storage._file import Arrays
from ..training._description import Description
from ..training._validation import Validation

_KIND = Kind("a result of an ensemble", "EnsembleResult.load(path)")


def write_result(
    path: str | Path, params: Any, losses: Any, state: Any, validation: Validation | None
) -> None:
    """See `EnsembleResult.save`."""
    arrays: Arrays = {}
    header: dict[str, Any] = {**origin(), "losses": pack("losses", losses, arrays)}
    own: Arrays = {}
    try:
        header["params"] = pack("params", params, own)
    except NotDataError as error:
        header["structure"], own = error.kind, {}
        header["params"] = pack_leaves("params", params, own)
    header["validation"] = pack_validation(validation, arrays)
    header["state"] = None if state is None else pack_leaves("state", state, arrays)
    of = getattr(state, "description", None)
    header["description"] = None if of is None else of.fields
    write = lambda: write_file(path, _KIND, header, arrays | own)
    _processes.by_first(write, shared=_processes.are_shared((params, state)))


def pack_validation(validation: Validation | None, arrays: Arrays) -> Any:
    """Scores of held-out rows as JSON and arrays."""
    return pack("validation", None if validation is None else tuple(validation), arrays)


def unpack_validation(header: dict[str, Any], arrays: Arrays) -> Validation | None:
    """The scores that `pack_validation` stored in a header; None if there are none."""
    if header.get("validation") is None:
        return None
    return Validation(*map(np.asarray, unpack(header["validation"], arrays)))


def read_result(path: str | Path, params: Any, state: Any) -> tuple[Any, ...]:
    """Parameters, losses, last state and scores; see `EnsembleResult.load`."""
    header, arrays = read_file(path, _KIND)
    check_origin(path, header, stacklevel=4)
    if "structure" not in header:
        found = unpack(header["params"], arrays)
    elif params is None:
        raise ValueError(
            f"`params` must be given: those in {str(path)!r} contain an object of type "
            f"{header['structure']}, of which a file stores only the numbers. Call "
            "`EnsembleResult.load(path, params=...)` with parameters of the same structure."
        )
    else:
        found = unpack_leaves("params", header["params"], arrays, params)
    last = header["state"]
    if state is not None and last is None:
        raise ValueError(f"The file {str(path)!r} contains no state. Leave out `state`.")
    if state is not None:
        last = unpack_leaves("state", last, arrays, state)
        if header["description"] is not None:  # its run, including the data
            last = last._replace(description=Description(header["description"]))
    last = None if state is None else last
    losses, seen = unpack(header["losses"], arrays), unpack_validation(header, arrays)
    return found, losses, last, seen
