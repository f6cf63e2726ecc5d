"""The losses of a run, on the host."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float


class Losses:
    """The losses of all steps so far.

    What the device computes is fetched once, when it is asked for, and nothing is copied again:
    a run that is saved or looked at often costs no more for being long.

    Args:
        num_steps: All steps of the run.
        before: The losses of the steps that were taken already, (members, steps).
    """

    def __init__(self, num_steps: int, before: np.ndarray | None = None) -> None:
        self._num_steps = num_steps
        self._waiting: list[tuple[Any, int]] = []
        self._known: np.ndarray | None = None
        self._count = 0
        self.first: Any = None
        if before is not None:
            self.add(before.T, before.shape[1])

    def add(self, losses: Any, count: int) -> None:
        """Take the losses of a chunk, which may not be there yet.

        Args:
            losses: By step and member; only the first rows are of the run.
            count: The number of these.
        """
        if self.first is None:
            self.first = losses
        self._waiting.append((losses, count))

    def wait_for_all_but_last(self) -> None:
        """Let the device have one chunk to go on with, and no more."""
        jax.block_until_ready([losses for losses, _ in self._waiting[-2:-1]])

    def so_far(self) -> Float[np.ndarray, "e t"]:
        """The losses of each member at each step: a view that cannot be written to.

        On the host: cutting and joining on the device would compile a small program for each
        number of steps.
        """
        waiting, self._waiting = self._waiting, []
        for losses, count in waiting:
            rows = np.asarray(losses)[:count]
            if self._known is None:
                shape = rows.shape[1], self._num_steps
                self._known = np.empty(shape, rows.dtype)
            self._known[:, self._count : self._count + count] = rows.T
            self._count += count
        assert self._known is not None
        view = self._known[:, : self._count]
        view.flags.writeable = False
        return view
