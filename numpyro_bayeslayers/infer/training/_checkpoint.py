"""Save a run at intervals, and resume it with identical results."""

import io
import json
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ... import _checks, _processes
from ..._storage import End, append_record, place_of, read_records, write_record
from ..._typing import PRNGKey
from ..compilation._jit import is_dynamic
from ..rows._layout import placed_like
from ._description import TO_REPEAT, Description, differences, spelled
from ._validation import Validation

_FORMAT = 4
# Files of version 3 have one record, of all steps.
_READABLE = (3, _FORMAT)
_OTHER_RUN = (
    "The checkpoint {path!r} belongs to another run: {what}. Delete it or give another path to "
    "start again; different fits, such as the folds of a cross-validation, need different "
    "paths."
)
_DAMAGED = (
    "The checkpoint {path!r} is damaged, or not a checkpoint: it contains {what}. Delete it or "
    "give another path to start again."
)
_CUT = (
    "The last save in the checkpoint {path!r} is not whole, as after a process that was killed "
    "while it saved: the run goes on from the one before, after {steps} steps."
)


class Saved(NamedTuple):
    """What a save of a run leaves to the next one.

    Args:
        end: The end of the file.
        steps: The steps whose losses are in it.
        looks: The looks at held-out rows whose scores are in it.
    """

    end: End
    steps: int
    looks: int


class Checkpoint(NamedTuple):
    """The file to which a run is saved, and how often.

    If the file exists, a run resumes from it, and its result is identical to that of an
    uninterrupted run; a finished run returns the stored result. A save appends the state and
    the losses since the last one to the file, or replaces it atomically: one that was broken
    off is left out, with a warning, and the run resumes from the one before. The file has at
    most twice the size of its last state and all losses. Its permissions are kept, a link stays
    a link, and incomplete files left by a killed run are removed by the next save.

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
        *,
        last: Saved | None = None,
    ) -> Saved | None:
        """Write the state, losses and scores so far, and what tells this run from others.

        Args:
            state: The state of all members.
            losses: The losses of all steps, (members, steps).
            identity: What tells this run from others.
            seen: The scores of all looks at held-out rows.
            last: What the last save of this run gave: what it wrote is not written again.

        Returns:
            What to give to the next save; None in the processes that do not write.
        """
        seen = _nothing_seen(len(losses), 0) if seen is None else seen
        data, is_shared = _as_data(state), _processes.are_shared(state)
        if is_shared:
            data = _processes.on_host(data)
        done: list[Saved] = []

        def write() -> None:
            end = None
            if last is not None:
                new = _content(data, losses, seen, {}, last.steps, last.looks)
                end = append_record(self.path, last.end, new)
            if end is None:
                end = write_record(self.path, _content(data, losses, seen, identity))
            done.append(Saved(end, losses.shape[1], len(seen.steps)))

        _processes.by_first(write, shared=is_shared)
        return done[0] if done else None

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
        records, is_cut = read_records(content)
        if not records:
            what = f"{len(content)} bytes that are not those that were written"
            raise ValueError(_DAMAGED.format(path=str(path), what=what))
        head = json.loads(io.BytesIO(records[0]).readline())
        version = head["format"] if head["format"] in _READABLE else _FORMAT
        if what := _other(head, {"format": version, **identity}):
            raise ValueError(_OTHER_RUN.format(path=str(path), what=what))
        twin = _as_data(like)
        if is_shared:
            zeros = lambda x: np.zeros(x.shape, x.dtype) if is_dynamic(x) else x
            twin = jax.tree.map(zeros, twin)
        try:
            parts = [_read(record, twin, num_members) for record in records]
        except (RuntimeError, ValueError, EOFError) as error:
            what = "its arrays have different shapes"
            raise ValueError(_OTHER_RUN.format(path=str(path), what=what)) from error
        data = parts[-1][0]
        losses = np.concatenate([part[1] for part in parts], axis=1)
        scores = [
            np.concatenate(x, axis=-1) for x in zip(*(p[2] for p in parts), strict=True)
        ]
        if is_cut:
            text = _CUT.format(path=str(path), steps=losses.shape[1])
            warnings.warn(text, stacklevel=2)
        return placed_like(_as_keys(data, like), like), losses, Validation(*scores)


def _content(
    data: PyTree,
    losses: np.ndarray,
    seen: Validation,
    identity: dict[str, Any],
    steps: int = 0,
    looks: int = 0,
) -> memoryview:
    """A record of the state, and of what came after so many steps and looks.

    Its first line is a table of words and numbers.
    """
    losses = losses[:, steps:]
    seen = Validation(seen.steps[looks:], seen.log_density[:, looks:])
    numbers = {"steps": losses.shape[1], "looks": len(seen.steps)}
    head = {"format": _FORMAT, **numbers, **identity}
    body = io.BytesIO((json.dumps(head) + "\n").encode())
    body.seek(0, io.SEEK_END)
    eqx.tree_serialise_leaves(body, (data, losses, seen))
    return body.getbuffer()


def _read(
    record: bytes, like: PyTree, num_members: int
) -> tuple[PyTree, np.ndarray, Validation]:
    """The state, losses and scores of a record."""
    body = io.BytesIO(record)
    head = json.loads(body.readline())
    losses = np.zeros((num_members, head["steps"]), jnp.result_type(float))
    seen = _nothing_seen(num_members, head["looks"])
    return eqx.tree_deserialise_leaves(body, (like, losses, seen))


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
