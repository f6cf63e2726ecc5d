"""Shared parts of all figures: axes, colorblind-safe colors and labels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks

# Okabe and Ito (2008): distinguishable with every form of color blindness, and in print.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
BLACK, GRAY = "#000000", "#777777"

#: 800 by 500 pixels.
SIZE = (8.0, 5.0)


def pyplot() -> Any:
    """The module `matplotlib.pyplot`.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "`numpyro_bayeslayers.plots` needs matplotlib: pip install "
            "'numpyro-bayeslayers[plots]'."
        ) from error
    return plt


def axes(ax: Any, size: tuple[float, float] = SIZE) -> Any:
    """`ax`, or the axes of a new figure."""
    plt = pyplot()
    if ax is None:
        return plt.subplots(figsize=size, dpi=100, layout="constrained")[1]
    if not hasattr(ax, "fill_between"):
        raise TypeError(f"`ax` must be axes of matplotlib, got a {type(ax).__name__}.")
    return ax


def finish(ax: Any, xlabel: str, ylabel: str, *, legend: bool = True) -> Any:
    """Add labels and the legend; return the axes."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if legend and ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    return ax


def legend_above(ax: Any) -> None:
    """Place the legend above the data, in rows of three, by extending the y-axis."""
    low, high = ax.get_ylim()
    rows = math.ceil(len(ax.get_legend_handles_labels()[1]) / 3)
    ax.set_ylim(low, high + (0.05 + 0.08 * rows) * (high - low))
    ax.legend(frameon=False, ncols=3, loc="upper center")


def chance_band(prob: float) -> str:
    """The label of a band that contains calibrated results with this probability."""
    return f"{100 * prob:g}% chance band"


def words(name: str, given: str | None, data: Any, default: str) -> str:
    """The label of an axis: the given one, or the name of a table's column."""
    if given is not None:
        return _checks.label(name, given)
    known = getattr(data, "name", None)
    return known if isinstance(known, str) and known else default


def draws_of(name: str, draws: Any, least: int = 2) -> np.ndarray:
    """Draws (s, n), given as `Predictions` or as an array."""
    found = np.asarray(_checks.reals(name, getattr(draws, "samples", draws)), float)
    if found.ndim == 3 and found.shape[-1] == 1:
        found = found[..., 0]
    if found.ndim != 2 or not found.shape[1]:
        raise ValueError(
            f"`{name}` must have an axis of draws and one of rows, got shape {found.shape}. "
            "Select one of several outputs."
        )
    if len(found) < least:
        raise ValueError(f"`{name}` must have at least {least} draws, got {len(found)}.")
    _checks.no_nan(name, found)
    return found


def column(name: str, values: Any, rows: int) -> np.ndarray:
    """One number for each of `rows` rows."""
    found = np.asarray(_checks.observed(name, values), float)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    return _of_rows(name, found, rows)


def position(name: str, values: Any, rows: int) -> np.ndarray:
    """Positions of rows along an axis: numbers or dates."""
    found = np.asarray(values)
    if found.dtype.kind == "M":
        if np.isnat(found).any():
            raise ValueError(f"`{name}` has missing dates. Drop these rows first.")
        return _of_rows(name, found, rows)
    return column(name, values, rows)


def _of_rows(name: str, found: np.ndarray, rows: int) -> np.ndarray:
    if found.shape != (rows,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {rows} rows, got shape {found.shape}."
        )
    if found.dtype.kind == "f":
        _checks.no_nan(name, found)
    return found


def probabilities(name: str, values: Sequence[float]) -> list[float]:
    """Probabilities of intervals, the widest first."""
    found = _checks.sequence(_checks.share)(name, values)
    if not found:
        raise ValueError(f"`{name}` must have at least one probability.")
    return sorted(found, reverse=True)


def bands(
    ax: Any, x: Any, draws: np.ndarray, coverages: list[float], color: str = BLUE
) -> None:
    """Draw nested central intervals of draws along `x`, and their median."""
    for i, p in enumerate(coverages):
        low, high = np.quantile(draws, [(1 - p) / 2, (1 + p) / 2], axis=0)
        shade = 0.18 + 0.22 * i / max(len(coverages) - 1, 1)
        label = f"{100 * p:g}% interval"
        ax.fill_between(x, low, high, color=color, alpha=shade, lw=0, label=label)
    ax.plot(x, np.median(draws, axis=0), color=color, lw=1.8, label="median")


def dots(ax: Any, x: Any, y: Any, label: str = "measured") -> None:
    """Draw observations as dots, also in the legend."""
    size = 4.5 if len(y) <= 200 else 3.0
    ax.plot(x, y, "o", color=BLACK, ms=size, alpha=0.65, mew=0, label=label)
