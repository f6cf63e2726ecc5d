"""Distributed runs: several processes with one mesh of devices (`jax.distributed`).

All processes must call these functions in the same order: an array distributed over several
processes is read by all of them together, and files are read and written by the first process.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

_DIFFERENT = (
    "All processes must be given the same arguments, but they differ in {names}. Read the same "
    "data in each process, and use the same random key and numbers."
)
_FAILED = "The first process, which reads and writes all files, failed: {error}"
_LOST = (
    "The distributed run failed, most likely because a process has ended. End the other "
    "processes and start all of them again; with `checkpoint=`, a run resumes from its last "
    "save. The error of JAX is: {error}"
)


def are_shared(tree: PyTree) -> bool:
    """Whether an array has parts on devices of other processes."""
    return any(
        isinstance(x, jax.Array) and not x.is_fully_addressable
        for x in jax.tree.leaves(tree)
    )


def whole(x: Any) -> np.ndarray:
    """The whole array of numbers, in every process."""
    is_here = not isinstance(x, jax.Array) or x.is_fully_addressable
    if is_here or x.is_fully_replicated:
        return np.asarray(x)
    return multihost_utils.process_allgather(x, tiled=True)


def is_first() -> bool:
    """Whether this is the process that shows progress and writes files."""
    return jax.process_index() == 0


def any_of(flag: bool, *, shared: bool) -> bool:
    """Whether the flag is set in any process of a distributed run."""
    if not shared:
        return flag
    return bool(gathered([flag]).any())


def check_same(named: Mapping[str, Any], *, shared: bool) -> None:
    """Check that all processes of a distributed run have the same values.

    Args:
        named: Values by name, which must have the same `repr` in all processes.
        shared: Whether the run is distributed.

    Raises:
        ValueError: In all processes, with the names, if values differ.
    """
    if not shared:
        return
    found = gathered([hashed(list(named))])
    if (found != found[0]).any():
        raise ValueError(_DIFFERENT.format(names="their arguments"))
    found = gathered([hashed(value) for value in named.values()])
    is_other = (found != found[:1]).any(axis=0)
    if is_other.any():
        names = [f"`{n}`" for n, other in zip(named, is_other, strict=True) if other]
        raise ValueError(_DIFFERENT.format(names=", ".join(names)))


def gathered(numbers: Sequence[int]) -> np.ndarray:
    """A few small integers of each process, (processes, numbers)."""
    return multihost_utils.process_allgather(np.array(numbers, np.int32))


def hashed(value: Any) -> int:
    """A hash below 2^31 of the `repr` of a value."""
    found = hashlib.blake2b(repr(value).encode(), digest_size=4).digest()
    return int.from_bytes(found, "little") >> 1


def by_first(fn: Callable[[], bytes | None], *, shared: bool) -> bytes | None:
    """The result of `fn` in the first process of a distributed run; otherwise the result here.

    Raises:
        RuntimeError: In the other processes, if `fn` raises an error in the first.
    """
    if not shared:
        return fn()
    found, error = None, None
    if is_first():
        try:
            found = fn()
        except Exception as raised:
            error = raised
    text = f"{type(error).__name__}: {error}".encode() if error else found or b""
    kind = 2 if error else 1 if found is not None else 0
    # 32 bits each, JAX's default integer size.
    head = multihost_utils.broadcast_one_to_all(
        np.array([kind, len(text) >> 24, len(text) & 0xFFFFFF], np.int32)
    )
    kind, size = int(head[0]), (int(head[1]) << 24) + int(head[2])
    content = np.zeros(size, np.uint8)
    if is_first():
        content = np.frombuffer(text, np.uint8)
    if size:
        content = np.asarray(multihost_utils.broadcast_one_to_all(content), np.uint8)
    if error is not None:
        raise error
    if kind == 2:
        raise RuntimeError(_FAILED.format(error=content.tobytes().decode()))
    return content.tobytes() if kind else None


@contextlib.contextmanager
def losing_none(*, shared: bool) -> Generator[None]:
    """Explain the most likely cause of a failure in a distributed run.

    Raises:
        RuntimeError: If communication between processes failed.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not shared or "RESOURCE_EXHAUSTED" in str(error):
            raise
        first = str(error).splitlines()[0]
        raise RuntimeError(_LOST.format(error=first)) from error


def on_host(tree: PyTree) -> PyTree:
    """Copies of the arrays on the host, in every process; other leaves are kept."""
    return jax.tree.map(
        lambda x: np.array(whole(x)) if isinstance(x, jax.Array) else x, tree
    )


@functools.cache
def processes_of(mesh: Any) -> frozenset[int]:
    """The processes with devices of a mesh."""
    return frozenset(device.process_index for device in mesh.devices.flat)
