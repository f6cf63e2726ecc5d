"""What figures of calibration draw: coverage, accuracy and places, with what chance makes."""

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.stats

from numpyro_bayeslayers.metrics import coverage_by_level, pit, reliability
from numpyro_bayeslayers.plots import plot_calibration, plot_pit, plot_reliability

from .test_prediction import bounds, words

RNG = np.random.default_rng(1)
Y = RNG.normal(size=60)
DRAWS = RNG.normal(size=(99, 60))
PROBS = RNG.dirichlet(np.ones(3), 90)
CLASSES = np.array([RNG.choice(3, p=p) for p in PROBS])


def test_calibration_is_coverage_by_level():
    ax = plot_calibration(Y, DRAWS)
    _, line = ax.lines
    found = coverage_by_level(Y, DRAWS)
    np.testing.assert_allclose(line.get_xdata(), 100 * found.levels, rtol=1e-6)
    np.testing.assert_allclose(line.get_ydata(), 100 * found.coverage, rtol=1e-6)
    assert words(ax) == ["95% chance band", "calibrated", "observed, 60 rows"]
    assert ax.get_xlabel() == "nominal level (%)"


@pytest.mark.parametrize("form", [pd.Series, list])
def test_observations_may_be_a_column(form):
    """Under run-time types, too."""
    for plot in (plot_calibration, plot_pit):
        lines, expected = plot(form(Y), DRAWS), plot(Y, DRAWS)
        for one, other in zip(lines.lines, expected.lines, strict=True):
            np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())


def test_the_band_is_binomial():
    """By SciPy's intervals of the number of rows inside."""
    low, high = bounds(plot_calibration(Y, DRAWS, levels=[0.5]).collections[0])
    p = np.linspace(0, 1, 201)[1:-1]
    expected = np.array(scipy.stats.binom.interval(0.95, 60, p)) / 60
    np.testing.assert_allclose([low[1:-1], high[1:-1]], 100 * expected, atol=1e-6)
    assert low[0] == high[0] == 0 and low[-1] == high[-1] == 100


def test_reliability_has_the_bins():
    ax = plot_reliability(CLASSES, PROBS, num_bins=5)
    bins = reliability(CLASSES, PROBS, num_bins=5, binning="adaptive")
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    found = [[d.get_xdata()[0], d.get_ydata()[0]] for d in dots]
    expected = 100 * np.stack([bins.confidence, bins.accuracy], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert ax.get_title().startswith("expected calibration error")
    segments = np.array(ax.collections[0].get_segments())
    count, x = np.asarray(bins.count), np.asarray(bins.confidence, float)
    ends = 100 * np.array(scipy.stats.binom.interval(0.95, count, x)) / count
    np.testing.assert_allclose(segments[:, :, 1].T, ends, rtol=1e-5)


def test_sure_classes_have_a_figure():
    """Probabilities of one, which rounding may push above it."""
    ax = plot_reliability(np.array([1, 1, 0]), np.array([1.0, 1.0, 0.0]), num_bins=2)
    assert np.isfinite(np.array(ax.collections[0].get_segments())).all()


def test_pit_is_its_histogram():
    ax = plot_pit(Y, dist.Normal(np.zeros(60), 1.0), num_bins=6)
    u = pit(Y, dist.Normal(np.zeros(60), 1.0))
    expected = np.histogram(u, 6, (0, 1), density=True)[0]
    np.testing.assert_allclose([p.get_height() for p in ax.patches], expected, rtol=1e-6)
    low, high = bounds(ax.collections[0])
    ends = 6 * np.array(scipy.stats.binom.interval(0.95, 60, 1 / 6)) / 60
    np.testing.assert_allclose([low[0], high[0]], ends, rtol=1e-6)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    counts = RNG.poisson(2.0, (9, 60))
    with pytest.raises(ValueError, match="`seed` must be given"):
        plot_pit(counts[0], counts)
    with pytest.raises(ValueError, match="`levels` must be"):
        plot_calibration(Y, DRAWS, levels=[2.0])
    with pytest.raises(ValueError, match="`probs` must be probabilities"):
        plot_reliability(CLASSES, 2 * PROBS)
    with pytest.raises(ValueError, match="`num_bins` must be"):
        plot_pit(Y, DRAWS, num_bins=0)
