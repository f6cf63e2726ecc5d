"""Functions of the user's that look at a run between its chunks, and may end it."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, PyTree

from ... import _checks
from ._training_loop import CHUNK, REFRESHES
from ._validation import Validation

_NO_ANSWER = (
    "`callbacks` must return True, which ends the run, or False or None, got {answer!r} of "
    "{name}."
)


class Progress(NamedTuple):
    """What a callback sees: where a run is.

    Callbacks are called on the host after about each twentieth of a run's steps (and after at
    most 1,024), and at its end. One that returns True ends the run: the result is that of the
    steps so far.

    Args:
        step: The number of steps taken in this run.
        losses: The loss of each member at each of them, (members, steps).
        params: The parameters of all members as they are now, in NumPy's arrays: what the
            ``params`` of the result would be.
        validation: The scores on held-out rows so far; None without `validation`.

    Example:
        >>> import numpy as np
        >>> def is_good(progress):
        ...     print(progress.step, progress.losses[:, -1].mean())
        ...     return bool(progress.losses[:, -1].max() < 0.1)
        >>> is_good(Progress(step=2, losses=np.array([[4.0, 0.5]]), params={}))
        2 0.5
        False
    """

    step: int
    losses: Float[np.ndarray, "e t"]
    params: PyTree
    validation: Validation | None = None


Callback = Callable[[Progress], bool | None]


def checked_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """The functions, of which one may be given alone.

    Raises:
        TypeError: If something else than functions is given.
    """
    if callbacks is None:
        return ()
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        callbacks = (callbacks,)
    return tuple(_checks.function("callbacks", callback) for callback in callbacks)


def callback_period(num_steps: int) -> int:
    """The steps between two calls."""
    return min(max(num_steps // REFRESHES, 1), CHUNK)


def is_ended(callbacks: tuple[Callback, ...], progress: Progress) -> bool:
    """Call all of them; true if one ends the run.

    Raises:
        TypeError: If one returns something else than a switch or None.
    """
    is_end = False
    for callback in callbacks:
        answer: Any = callback(progress)
        if answer is not None and not isinstance(answer, (bool, np.bool_)):
            name = getattr(callback, "__name__", type(callback).__name__)
            raise TypeError(_NO_ANSWER.format(answer=answer, name=name))
        is_end |= bool(answer)
    return is_end
