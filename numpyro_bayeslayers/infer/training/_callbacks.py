"""User callbacks between the chunks of a run, which can end it."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, PyTree

from ... import _checks
from ._training_loop import CHUNK, REFRESHES
from ._validation import Validation

_NO_ANSWER = (
    "`callbacks` must return True (which ends the run), False or None, got {answer!r} from "
    "{name}."
)


class Progress(NamedTuple):
    """The progress of a run, passed to callbacks.

    Callbacks are called on the host after about every twentieth of a run's steps (at the latest
    after 1,024), and at its end. If a callback returns True, the run ends with the result of
    the steps so far.

    Args:
        step: The number of steps so far in this run.
        losses: The loss of each member at each step, (members, steps).
        params: The current parameters of all members as NumPy arrays, in the form of the
            ``params`` of the result.
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
    """The callbacks as a tuple; a single function is also accepted.

    Raises:
        TypeError: If anything other than functions is given.
    """
    if callbacks is None:
        return ()
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        callbacks = (callbacks,)
    return tuple(_checks.function("callbacks", callback) for callback in callbacks)


def callback_period(num_steps: int) -> int:
    """The number of steps between two calls."""
    return min(max(num_steps // REFRESHES, 1), CHUNK)


def is_ended(callbacks: tuple[Callback, ...], progress: Progress) -> bool:
    """Call all callbacks; true if one ends the run.

    Raises:
        TypeError: If one returns anything other than a boolean or None.
    """
    is_end = False
    for callback in callbacks:
        answer: Any = callback(progress)
        if answer is not None and not isinstance(answer, (bool, np.bool_)):
            name = getattr(callback, "__name__", type(callback).__name__)
            raise TypeError(_NO_ANSWER.format(answer=answer, name=name))
        is_end |= bool(answer)
    return is_end
