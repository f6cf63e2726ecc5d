"""Plots of the ranks of simulation-based calibration."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks
from ..metrics import rank_band
from ._axes import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    axes,
    chance_band,
    finish,
    legend_above,
)

_PROB = 0.95
_COLORS = (BLUE, ORANGE, GREEN, PURPLE, BLACK)


def plot_ranks(ranks: Mapping[str, Any], num_draws: int, *, ax: Any = None) -> Any:
    """Plot the distribution function of ranks minus that of uniform ranks: flat if calibrated.

    If the line is above zero on the left and below zero on the right, the posterior is too
    narrow; the reverse means that it is too wide. A line that is above zero everywhere means
    that posterior draws are too large, a line below zero that they are too small. The gray
    band contains the whole line of uniform ranks with probability 95%, exactly
    (`metrics.rank_band`).

    Args:
        ranks: By name, ranks (n, *quantity) of the same n replications, as
            ``testing.sbc(...).ranks``: whole numbers from 0 to `num_draws`.
        num_draws: The number of draws among which values were ranked, at least 1.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `ranks` is not a dictionary.
        ValueError: If it is empty, or the numbers of ranks differ.

    Example:
        >>> import numpy as np
        >>> ax = plot_ranks({"mean": np.arange(100)}, 99)
        >>> ax.get_xlabel()
        'place in the posterior'

    References:
        Säilynoja, Bürkner, Vehtari (2022), "Graphical test for discrete uniformity and its
        applications in goodness-of-fit evaluation and multiple sample comparison",
        Statistics and Computing 32, Figure 4.
    """
    _checks.instance("ranks", ranks, Mapping, "a dictionary of ranks by name")
    num_draws = _checks.size("num_draws", num_draws)
    lengths = {len(np.atleast_1d(np.asarray(r))) for r in ranks.values()}
    if len(lengths) != 1:
        raise ValueError(
            "`ranks` must hold the ranks of the same replications, got "
            f"{sorted(lengths) or 'none'}."
        )
    band = rank_band(lengths.pop(), num_draws, prob=_PROB)
    x = np.concatenate([[0.0], band.place, [1.0]])
    edges = band.place * (num_draws + 1)
    ends = [np.concatenate([[0.0], end, [1.0]]) - x for end in (band.low, band.high)]
    ax = axes(ax)
    ax.fill_between(x, *ends, color=GRAY, alpha=0.3, lw=0, label=chance_band(_PROB))
    ax.axhline(0.0, ls="--", color=GRAY, lw=1.2)
    for i, (name, found) in enumerate(ranks.items()):
        of = np.asarray(found).reshape(len(found), -1)
        share = (of[None] < edges[:, None, None] - 1e-6).mean(1)
        lines = np.concatenate([np.zeros_like(share[:1]), share, np.ones_like(share[:1])])
        color = _COLORS[i % len(_COLORS)]
        drawn = ax.plot(x, lines - x[:, None], color=color, lw=1.4)
        drawn[0].set_label(name)
    ax.set_xlim(0, 1)
    finish(ax, "place in the posterior", "share below, less the place", legend=False)
    ax.autoscale(axis="y")  # shared axes also have the lines of other panels
    legend_above(ax)
    return ax
