"""Save a run at intervals, and resume it with identical results."""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ... import _checks, _processes
from ..._storage import place_of, replace_whole
from ..._typing import PRNGKey
from ._description import TO_REPEAT, Description, differences, spelled
from ._jit import is_dynamic
from ._layout import placed_like
from ._validation import Validation

_FORMAT = 3
_OTHER_RUN = (
    "The checkpoint {path!r} belongs to another run: {what}. Delete it or give another path to "
    "start again; different fits, such as the folds of a cross-validation, need different "
    "paths."
)
_DAMAGED = (
    "The checkpoint {path!r} is damaged, or not a checkpoint: it contains {what}. Delete it or "
    "give another path to start again."
)


class Checkpoint(NamedTuple):
    """The file to which a run is saved, and how often.

    If the file exists, a run resumes from it, and its result is identical to that of an
    uninterrupted run; a finished run returns the stored result. The file is replaced
    atomically, so it is never incomplete. Its permissions are kept, a link stays a link, and
    incomplete files left by a killed run are removed by the next save.

    Args:
        path: The file, in an existing folder.
        every: Number of steps between two saves, at least 1; the end of a run is also saved.

    Raises:
        ValueError: From `run`, if `every` is out of range, or the file is damaged or of another
            run: other data, model, guide, optimizer, loss, seed or number of members.
        FileNotFoundError: From `run`, if the folder does not exist.
        IsADirectoryError: From `run`, if the path is a folder.
        PermissionError: From `run`, if the folder is not writable.

    Example:
        >>> Checkpoint("fit.ckpt").every
        1000
    """

    path: str | Path
    every: int = 1000

    def check(self) -> None:
        """Raise if the numbers, the file or its folder are not usable."""
        _checks.size("every", self.every)
        place = place_of(self.path)
        if place.is_dir():
            raise IsADirectoryError(
                f"`path` must be a file, got the folder {str(place)!r}."
            )
        if not os.access(place.parent, os.W_OK):
            raise PermissionError(
                f"The folder of `path` must be writable, got {str(place.parent)!r}."
            )

    def save(
        self,
        state: PyTree,
        losses: np.ndarray,
        identity: dict[str, Any],
        seen: Validation | None = None,
    ) -> None:
        """Write the state, losses and scores so far, and the identity of the run.

        The first line is a hash of the rest, the second a JSON header.
        """
        seen = _nothing_seen(len(losses), 0) if seen is None else seen
        steps, looks = losses.shape[1], len(seen.steps)
        head = {"format": _FORMAT, "steps": steps, "looks": looks, **identity}
        body = io.BytesIO((json.dumps(head) + "\n").encode())
        body.seek(0, io.SEEK_END)
        data, is_shared = _as_data(state), _processes.are_shared(state)
        if is_shared:
            data = _processes.on_host(data)
        eqx.tree_serialise_leaves(body, (data, losses, seen))
        content = body.getbuffer()
        lines = _hash(content) + b"\n", content
        write = lambda: replace_whole(self.path, lambda file: file.writelines(lines))
        _processes.by_first(write, shared=is_shared)

    def load(
        self, like: PyTree, num_members: int, identity: dict[str, Any]
    ) -> tuple[PyTree, np.ndarray | None, Validation | None]:
        """The saved state, losses and scores; `like` and None if there is no file.

        Args:
            like: The initial state, of the same structure and shapes.
            num_members: The number of members.
            identity: The identity of the run, as in `save`.

        Raises:
            ValueError: If the file belongs to another run, or is damaged.
        """
        self.check()
        path, place, is_shared = self.path, place_of(self.path), _processes.are_shared(like)
        read = lambda: place.read_bytes() if place.exists() else None
        content = _processes.by_first(read, shared=is_shared)
        if content is None:
            return like, None, None
        body = self._whole(content)
        head = json.loads(body.readline())
        if what := _other(head, {"format": _FORMAT, **identity}):
            raise ValueError(_OTHER_RUN.format(path=str(path), what=what))
        losses = np.zeros((num_members, head["steps"]), jnp.result_type(float))
        seen = _nothing_seen(num_members, head["looks"])
        twin = _as_data(like)
        if is_shared:
            zeros = lambda x: np.zeros(x.shape, x.dtype) if is_dynamic(x) else x
            twin = jax.tree.map(zeros, twin)
        try:
            found = eqx.tree_deserialise_leaves(body, (twin, losses, seen))
        except (RuntimeError, ValueError, EOFError) as error:
            what = "its arrays have different shapes"
            raise ValueError(_OTHER_RUN.format(path=str(path), what=what)) from error
        data, losses, seen = found
        return placed_like(_as_keys(data, like), like), losses, seen

    def _whole(self, content: bytes) -> io.BytesIO:
        """The file without its first line, if the hash in it matches.

        Raises:
            ValueError: If the file is empty, truncated, changed, or not a checkpoint.
        """
        first, _, rest = content.partition(b"\n")
        if first == _hash(rest):
            return io.BytesIO(rest)
        what = f"{len(content)} bytes that do not match its hash"
        raise ValueError(_DAMAGED.format(path=str(self.path), what=what))


def _nothing_seen(num_members: int, looks: int) -> Validation:
    scores = np.zeros((num_members, looks), jnp.result_type(float))
    return Validation(np.zeros(looks, np.int32), scores)


def run_identity(
    key: PRNGKey, options: dict[str, Any], description: Description
) -> dict[str, Any]:
    """The properties that a run and a checkpoint it resumes from must have in common.

    Args:
        key: The random key of the order of rows.
        options: Further Python numbers of the run.
        description: The description of the run.
    """
    numbers = np.asarray(_as_data(key)).tolist()
    return {"key": numbers, **options, "of": description.fields}


def _other(head: dict[str, Any], here: dict[str, Any]) -> str:
    """How the saved run differs from this one; empty if it does not."""
    for name, value in here.items():
        if name == "of":
            if what := spelled(
                differences(Description(head["of"]), Description(value), TO_REPEAT)
            ):
                return what
        elif head.get(name) != (list(value) if isinstance(value, tuple) else value):
            return f"it has `{name}` {head.get(name)!r}, this run has {value!r}"
    return ""


def _hash(content: Any) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


def _as_data(tree: PyTree) -> PyTree:
    """Random keys as their raw numbers, which can be written."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def _as_keys(data: PyTree, like: PyTree) -> PyTree:
    def one(x: Any, twin: Any) -> Any:
        return (
            jax.random.wrap_key_data(x, impl=jax.random.key_impl(twin))
            if _is_key(twin)
            else x
        )

    return jax.tree.map(one, data, like)


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
