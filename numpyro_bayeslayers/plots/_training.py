"""How an optimization went."""

from typing import Any

import numpy as np

from .. import _checks
from ._axes import BLACK, BLUE, ORANGE, axes, finish

# Steps are put together for a figure: more are not seen.
_MOST_POINTS = 500


def plot_losses(
    losses: Any,
    held_out: Any = None,
    *,
    ylabel: str = "loss (nats)",
    ax: Any = None,
) -> Any:
    """The loss of each member over the steps, of the training rows and of held-out ones.

    More than 500 steps are drawn as means over equal parts. The first fifth of them, which
    is steep, does not set the range of the second axis. Members that turned NaN end there, with
    a cross.

    Args:
        losses: Losses (members, steps), or (steps,) of one member; or what has them as
            ``losses``: a `Fit`, an `EnsembleResult`.
        held_out: The same of rows that were held out; over the same steps, so that with
            fewer entries they are evenly spread.
        ylabel: What stands at the second axis, with its unit.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If an entry is no real number, or there are no losses.
        ValueError: If there is no step, or an axis too many.

    Example:
        >>> import numpy as np
        >>> ax = plot_losses(np.exp(-np.arange(20.0)) * np.ones((3, 1)))
        >>> len(ax.lines), ax.get_xlabel()
        (3, 'step')
    """
    found = _members("losses", losses)
    parts = [(found, BLUE, "training")]
    if held_out is not None:
        parts.append((_members("held_out", held_out), ORANGE, "held out"))
    ylabel = _checks.label("ylabel", ylabel)
    steps, late, ends = found.shape[1], [], 0
    ax = axes(ax)
    for each, color, label in parts:
        size = -(-each.shape[1] // _MOST_POINTS)
        scale = steps / each.shape[1]
        of = f"{label}, {len(each)} member{'s' * (len(each) > 1)}"
        for i, member in enumerate(each):
            finite = np.isfinite(member)
            end = len(member) if finite.all() else int(np.argmin(finite))
            y = [member[k : min(k + size, end)].mean() for k in range(0, end, size)]
            x = scale * (np.arange(len(y)) * size + 1)
            alpha = max(0.3, min(0.9, 5 / len(each)))
            ax.plot(x, y, color=color, lw=1.1, alpha=alpha, label=of if i == 0 else None)
            if 0 < end < len(member):
                named = {"label": "turned NaN"} if ends == 0 else {}
                ax.plot(x[-1:], y[-1:], "x", color=BLACK, ms=8, mew=2, **named)
                ends += 1
            late.extend(y[len(y) // 5 :])
    if late:
        low, high = min(late), max(late)
        room = 0.05 * (high - low or 1.0)
        ax.set_ylim(low - room, high + room)
    return finish(ax, "step", ylabel)


def _members(name: str, losses: Any) -> np.ndarray:
    values = getattr(losses, "losses", losses)
    if values is None:
        raise TypeError(f"`{name}` must have losses; after `MCMC` there are none.")
    found = np.asarray(_checks.reals(name, values), float)
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or not found.size:
        raise ValueError(
            f"`{name}` must have an axis of members and one of steps, got shape {found.shape}."
        )
    return found
