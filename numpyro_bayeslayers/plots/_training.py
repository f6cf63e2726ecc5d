"""Plots of an optimization."""

from typing import Any

import numpy as np

from .. import _checks
from ._axes import BLACK, BLUE, ORANGE, axes, finish

# The largest number of points; more steps are averaged.
_MOST_POINTS = 500


def plot_losses(
    losses: Any,
    held_out: Any = None,
    *,
    ylabel: str = "loss (nats)",
    ax: Any = None,
) -> Any:
    """Plot the loss of each member over the steps, for training and held-out rows.

    More than 500 steps are averaged in equal blocks. The first fifth, which is steep, does not
    affect the range of the y axis. The line of a member whose loss becomes NaN ends with a
    cross. Scores of held-out rows, in nats per row, have a separate axis on the right.

    Args:
        losses: Losses (members, steps), or (steps,) of one member; or an object with the
            attribute ``losses``, such as a `Fit` or an `EnsembleResult`, whose ``validation``
            is also plotted.
        held_out: Losses of held-out rows in the same unit, evenly spread over the same steps if
            they have fewer entries; or scores with the attributes ``steps`` and ``log_density``
            (members, steps).
        ylabel: Label of the y axis, with its unit.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If an entry is not a real number, or there are no losses.
        ValueError: If there is no step, or more than two axes.

    Example:
        >>> import numpy as np
        >>> ax = plot_losses(np.exp(-np.arange(20.0)) * np.ones((3, 1)))
        >>> len(ax.lines), ax.get_xlabel()
        (3, 'step')
    """
    ylabel = _checks.label("ylabel", ylabel)
    held_out = getattr(losses, "validation", None) if held_out is None else held_out
    found = _members("losses", losses)
    steps = np.arange(found.shape[1]) + 1
    ax = axes(ax)
    late = _draw(ax, steps, found, BLUE, "training")
    if hasattr(held_out, "log_density"):
        right = ax.twinx()
        scores = -_members("held_out", held_out.log_density)
        _range(right, _draw(right, np.asarray(held_out.steps), scores, ORANGE, "held out"))
        right.set_ylabel("held out: negative log density (nats per row)", color=ORANGE)
        right.spines["top"].set_visible(False)
        for handle, label in zip(*right.get_legend_handles_labels(), strict=True):
            ax.plot(
                [], [], color=handle.get_color(), lw=handle.get_linewidth(), label=label
            )
    elif held_out is not None:
        other = _members("held_out", held_out)
        at = len(steps) / other.shape[1] * (np.arange(other.shape[1]) + 1)
        late += _draw(ax, at, other, ORANGE, "held out")
    _range(ax, late)
    return finish(ax, "step", ylabel)


def _draw(ax: Any, at: np.ndarray, each: np.ndarray, color: str, label: str) -> list[float]:
    """Draw a line for each member; return the values after the steep start."""
    late: list[float] = []
    size = -(-each.shape[1] // _MOST_POINTS)
    of = f"{label}, {len(each)} member{'s' * (len(each) > 1)}"
    is_first = True
    for i, member in enumerate(each):
        # A step that is not finite is a gap; a member that stays so has diverged to NaN.
        known = np.flatnonzero(np.isfinite(member))
        end = int(known[-1]) + 1 if known.size else 0
        parts = [member[k : k + size] for k in range(0, end, size)]
        parts = [part[np.isfinite(part)] for part in parts]
        y = [float(part.mean()) if part.size else np.nan for part in parts]
        x = at[0 : size * len(y) : size]
        alpha = max(0.3, min(0.9, 5 / len(each)))
        ax.plot(x, y, color=color, lw=1.1, alpha=alpha, label=of if i == 0 else None)
        if 0 < end < len(member):
            named = {"label": "turned NaN"} if is_first else {}
            ax.plot(x[-1:], y[-1:], "x", color=BLACK, ms=8, mew=2, **named)
            is_first = False
        late.extend(v for v in y[len(y) // 5 :] if np.isfinite(v))
    return late


def _range(ax: Any, values: list[float]) -> None:
    if values:
        low, high = min(values), max(values)
        room = 0.05 * (high - low or 1.0)
        ax.set_ylim(low - room, high + room)


def _members(name: str, losses: Any) -> np.ndarray:
    values = getattr(losses, "losses", losses)
    if values is None:
        raise TypeError(f"`{name}` must have losses, got None: a fit by `MCMC` has none.")
    found = np.asarray(_checks.reals(name, values), float)
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or not found.size:
        raise ValueError(
            f"`{name}` must have an axis of members and one of steps, got shape {found.shape}."
        )
    return found
