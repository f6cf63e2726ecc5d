"""The figure of ranks: lines of their distribution function and the band around zero."""

import numpy as np
import pytest

from numpyro_bayeslayers.metrics import rank_band
from numpyro_bayeslayers.plots import plot_ranks

from .test_prediction import bounds, words

RANKS = np.random.default_rng(0).integers(0, 20, (50, 2))


def test_lines_are_shares_below_less_the_place():
    ax = plot_ranks({"w": RANKS, "b": RANKS[:, 0]}, 19)
    assert words(ax) == ["95% chance band", "w", "b"]
    _, *lines = ax.lines
    assert len(lines) == 3
    x, y = lines[1].get_data()
    expected = [(RANKS[:, 1] < 20 * z).mean() - z for z in np.arange(1, 20) / 20]
    np.testing.assert_allclose(y[1:-1], expected, atol=1e-12)
    assert y[0] == y[-1] == 0 and x[0] == 0 and x[-1] == 1
    band = rank_band(50, 19)
    low, high = bounds(ax.collections[0])
    np.testing.assert_allclose(low[1:-1], band.low - band.place, atol=1e-9)
    np.testing.assert_allclose(high[1:-1], band.high - band.place, atol=1e-9)


def test_the_legend_is_above_all_lines_and_the_band():
    names = "place", "scale", "slope", "noise", "log_likelihood"
    ax = plot_ranks(dict.fromkeys(names, RANKS[:, 0]), 19)
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent().transformed(ax.transData.inverted())
    _, high = bounds(ax.collections[0])
    assert box.y0 > max(high.max(), *(np.max(line.get_ydata()) for line in ax.lines))
    assert box.x0 > 0 and box.x1 < 1


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(TypeError, match="`ranks` must be"):
        plot_ranks(RANKS, 19)
    with pytest.raises(ValueError, match="`ranks` must hold"):
        plot_ranks({}, 19)
    with pytest.raises(ValueError, match="`ranks` must hold"):
        plot_ranks({"a": RANKS, "b": RANKS[:9]}, 19)
