"""Figures of predictions, calibration, training and regressions with matplotlib.

Each function draws on the axes ``ax`` and returns them; without ``ax`` it creates a figure of
at least 500 by 500 pixels. For other figures, such as traces, posteriors and pair plots, use
ArviZ (`Fit.to_arviz`).

A new plot needs a function in the file of its kind, one export line here, and a test of what it
draws.
"""

from ._calibration import (
    plot_calibration as plot_calibration,
    plot_pit as plot_pit,
    plot_reliability as plot_reliability,
)
from ._prediction import (
    plot_members as plot_members,
    plot_prediction as plot_prediction,
    plot_prior as plot_prior,
)
from ._ranks import plot_ranks as plot_ranks
from ._regression import plot_effects as plot_effects, plot_forest as plot_forest
from ._training import plot_losses as plot_losses

__all__ = [
    "plot_calibration",
    "plot_effects",
    "plot_forest",
    "plot_losses",
    "plot_members",
    "plot_pit",
    "plot_prediction",
    "plot_prior",
    "plot_ranks",
    "plot_reliability",
]
