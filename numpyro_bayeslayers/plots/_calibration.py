"""Calibration plots."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .. import _checks
from .._typing import Seed
from ..metrics import (
    coverage_by_level,
    expected_calibration_error,
    pit,
    reliability,
)
from ._axes import BLUE, GRAY, axes, chance_band, finish, legend_above

_BAND = 0.95
_LABEL = chance_band(_BAND)


def plot_calibration(
    y: Any,
    prediction: Any,
    *,
    levels: Sequence[float] | None = None,
    seed: Seed | None = None,
    ax: Any = None,
) -> Any:
    """Plot the observed coverage of central intervals against their probability.

    Below the diagonal, predictions are too narrow; above it, too wide. The gray band covers 95%
    of the random variation of calibrated predictions, for each level separately (binomial,
    assuming independent rows).

    Args:
        y: Observations.
        prediction: Draws of the prediction, including noise, (s, n); or a distribution of
            NumPyro that has a `cdf`.
        levels: Probabilities of central intervals, above 0 and below 1, from small to large;
            5, 10, ..., 95% if None.
        seed: A key or an integer, needed for counts, see `numpyro_bayeslayers.metrics.pit`.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: As `numpyro_bayeslayers.metrics.coverage_by_level`.
        ValueError: As `numpyro_bayeslayers.metrics.coverage_by_level`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> ax = plot_calibration(rng.normal(size=50), rng.normal(size=(200, 50)))
        >>> ax.get_ylabel()
        'coverage (%)'
    """
    given: dict[str, Any] = {"seed": seed} | ({} if levels is None else {"levels": levels})
    found = coverage_by_level(y, getattr(prediction, "samples", prediction), **given)
    rows = int(np.size(y))
    p = np.linspace(0.0, 1.0, 201)
    low, high = _by_chance(rows, p)
    ax = axes(ax, (6.0, 6.0))
    ax.fill_between(
        100 * p, 100 * low, 100 * high, color=GRAY, alpha=0.25, lw=0, label=_LABEL
    )
    ax.plot([0, 100], [0, 100], "--", color=GRAY, lw=1.2, label="calibrated")
    x, inside = 100 * np.asarray(found.levels), 100 * np.asarray(found.coverage)
    ax.plot(x, inside, "o-", color=BLUE, ms=5, lw=1.5, label=f"observed, {rows} rows")
    ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    return finish(ax, "nominal level (%)", "coverage (%)")


def plot_reliability(
    y: Any,
    probs: Any,
    *,
    num_bins: int = 10,
    binning: Literal["width", "adaptive"] = "adaptive",
    ax: Any = None,
) -> Any:
    """Plot the accuracy of the most probable class against the confidence in it.

    Below the diagonal, predictions are overconfident. A gray bar covers 95% of the random
    variation of a calibrated bin (binomial); bins with more rows have larger dots.

    Args:
        y: Classes: whole numbers from zero in the order of the columns of `probs`.
        probs: Probabilities (n, classes) that sum to one; or (n,), of class 1 of two.
        num_bins: The number of bins, at least 1.
        binning: ``"adaptive"`` for bins with about the same number of rows, ``"width"`` for
            bins of equal width.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: As `numpyro_bayeslayers.metrics.reliability`.
        ValueError: As `numpyro_bayeslayers.metrics.reliability`.

    Example:
        >>> import numpy as np
        >>> probs = np.random.default_rng(0).dirichlet(np.ones(3), 90)
        >>> ax = plot_reliability(np.arange(90) % 3, probs)
        >>> ax.get_ylabel()
        'accuracy (%)'
    """
    bins = reliability(y, probs, num_bins=num_bins, binning=binning)
    error = expected_calibration_error(y, probs, num_bins=num_bins, binning=binning)
    count = np.asarray(bins.count)
    some = count > 0
    x, hit = (np.asarray(v, float)[some] for v in (bins.confidence, bins.accuracy))
    x = np.minimum(x, 1.0)  # rounding may exceed one
    low, high = _by_chance(count[some], x)
    ax = axes(ax, (6.0, 6.0))
    ax.vlines(100 * x, 100 * low, 100 * high, color=GRAY, alpha=0.4, lw=7, label=_LABEL)
    ax.plot([0, 100], [0, 100], "--", color=GRAY, lw=1.2, label="calibrated")
    ax.plot(100 * x, 100 * hit, "-", color=BLUE, lw=1.2, alpha=0.6)
    for i, (a, b, n) in enumerate(zip(x, hit, count[some], strict=True)):
        size = 4 + 5 * np.sqrt(n / count.max())
        named = {"label": f"bins, {count.sum()} rows"} if i == 0 else {}
        ax.plot([100 * a], [100 * b], "o", color=BLUE, ms=size, **named)
    start = 10 * np.floor(10 * max(0.0, min(x.min(), hit.min(), low.min()) - 0.02))
    ax.set(xlim=(start, 100.5), ylim=(start, 100.5), aspect="equal")
    finish(ax, "confidence (%)", "accuracy (%)")
    ax.set_title(f"expected calibration error {100 * float(error):.1f}%", fontsize=10)
    return ax


def plot_pit(
    y: Any,
    prediction: Any,
    *,
    num_bins: int = 10,
    seed: Seed | None = None,
    ax: Any = None,
) -> Any:
    """Plot the histogram of the probability integral transform, flat if calibrated.

    A hump shape means that predictions are too wide, a U shape that they are too narrow, and a
    slope that they are biased. The gray band covers 95% of the random variation of a flat
    histogram, for each bin separately (binomial).

    Args:
        y: Observations.
        prediction: Draws of the prediction, including noise, (s, n); or a distribution of
            NumPyro that has a `cdf`.
        num_bins: The number of bins, at least 1.
        seed: A key or an integer, needed for counts, see `numpyro_bayeslayers.metrics.pit`.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: As `numpyro_bayeslayers.metrics.pit`.
        ValueError: As `numpyro_bayeslayers.metrics.pit`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> ax = plot_pit(rng.normal(size=50), rng.normal(size=(200, 50)), num_bins=5)
        >>> len(ax.patches)
        5
    """
    num_bins = _checks.size("num_bins", num_bins)
    u = np.asarray(pit(y, getattr(prediction, "samples", prediction), seed=seed)).ravel()
    count, edges = np.histogram(u, num_bins, (0.0, 1.0))
    low, high = (float(end[0]) for end in _by_chance(u.size, 1 / num_bins))
    ax = axes(ax)
    ax.bar(
        edges[:-1],
        count * num_bins / u.size,
        1 / num_bins,
        align="edge",
        color=BLUE,
        alpha=0.75,
        edgecolor="white",
        label=f"{u.size} rows",
    )
    band = num_bins * low, num_bins * high
    ax.fill_between([0, 1], *band, color=GRAY, alpha=0.3, lw=0, label=_LABEL)
    ax.axhline(1.0, ls="--", color=GRAY, lw=1.2, label="calibrated")
    ax.set(xlim=(0, 1), ylim=(0, max(band[1], count.max() * num_bins / u.size)))
    ax = finish(ax, "probability integral transform", "density", legend=False)
    legend_above(ax)
    return ax


def _by_chance(count: Any, p: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper binomial limits of the fraction of `count` rows with probability `p`."""
    from scipy.stats import binom

    low, high = binom.ppf(
        np.array([[(1 - _BAND) / 2], [(1 + _BAND) / 2]]), count, np.atleast_1d(p)
    )
    scale = np.asarray(count, float)
    low, high = (np.where(np.atleast_1d(p) > 0, v, 0) / scale for v in (low, high))
    return low, high
