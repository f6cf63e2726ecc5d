"""What figures of predictions draw: the numbers behind their lines and bands."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.infer.fitting._predictions import Predictions
from numpyro_bayeslayers.plots import plot_members, plot_prediction, plot_prior

RNG = np.random.default_rng(0)
X = RNG.permutation(12).astype(float)
DRAWS = X + RNG.normal(size=(200, 12))
Y = X + RNG.normal(size=12)


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def bounds(band):
    """The lower and the upper edge of a band, by its place."""
    points = band.get_paths()[0].vertices
    places = np.unique(points[:, 0])
    return np.array([[f(points[points[:, 0] == x, 1]) for x in places] for f in (min, max)])


def test_bands_are_quantiles_along_the_input():
    ax = plot_prediction(DRAWS, Y, x=X, xlabel="depth (m)", ylabel="heat (°C)")
    order = np.argsort(X)
    for band, p in zip(ax.collections, (0.9, 0.5), strict=True):
        expected = np.quantile(DRAWS, [(1 - p) / 2, (1 + p) / 2], axis=0)[:, order]
        np.testing.assert_allclose(bounds(band), expected, rtol=1e-5)
    median, measured = ax.lines
    np.testing.assert_array_equal(median.get_xdata(), X[order])
    np.testing.assert_allclose(median.get_ydata(), np.median(DRAWS, axis=0)[order])
    np.testing.assert_allclose(measured.get_ydata(), Y[order])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("depth (m)", "heat (°C)")
    assert words(ax) == ["90% interval", "50% interval", "median", "measured"]


@pytest.mark.parametrize("plot", [plot_prediction, plot_members])
def test_rows_of_tables_have_one_order(plot):
    table = pd.DataFrame({"x": X, "y": Y})
    with pytest.raises(ValueError, match="`x` and `y` must have the same row labels"):
        plot(DRAWS, table["y"][::-1], x=table["x"])
    with pytest.raises(TypeError, match="`y` must hold real numbers, got categories"):
        plot(DRAWS, table["y"].astype("category"), x=X)


def test_dots_are_dots_in_the_legend():
    ax = plot_prediction(DRAWS, Y, x=X)
    handle = ax.get_legend().legend_handles[-1]
    assert handle.get_marker() == "o" and handle.get_linestyle() == "None"


def test_without_an_input_rows_are_sorted():
    ax = plot_prediction(DRAWS, pd.Series(Y, name="yield (t/ha)"))
    median = ax.lines[0]
    np.testing.assert_array_equal(median.get_xdata(), np.arange(12) + 1)
    assert (np.diff(median.get_ydata()) >= 0).all()
    order = np.argsort(np.median(DRAWS, axis=0), kind="stable")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), Y[order])
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "rows, by predicted median",
        "yield (t/ha)",
    )


def test_dates_and_what_a_fit_predicts():
    days = np.datetime64("2024-01-01") + np.arange(12)
    drawn = Predictions.of(jnp.asarray(DRAWS)[:, None])
    ax = plot_prediction(drawn, x=pd.Series(days, name="day"))
    assert ax.get_xlabel() == "day"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), days.astype("M8[us]"))


def test_axes_are_taken_and_given_back():
    ax = plt.subplots()[1]
    assert plot_prediction(DRAWS, x=X, ax=ax) is ax
    assert plot_members(DRAWS[:3], x=X, ax=ax) is ax
    ax = plot_prediction(DRAWS, x=X)
    np.testing.assert_allclose(ax.figure.get_size_inches() * ax.figure.dpi, (800, 500))


def test_members_and_their_mean():
    ax = plot_members(DRAWS[:4], Y, x=X, xlabel="x (m)", ylabel="f")
    order = np.argsort(X)
    assert len(ax.lines) == 6
    for line, member in zip(ax.lines, DRAWS[:4], strict=False):
        np.testing.assert_allclose(line.get_ydata(), member[order])
    np.testing.assert_allclose(ax.lines[4].get_ydata(), DRAWS[:4].mean(0)[order])
    assert words(ax) == ["4 members", "their mean", "measured"]


def model(x, offset=0.0):
    slope = numpyro.sample("slope", dist.Normal(2.0, 0.5))
    numpyro.deterministic("curve", offset + slope * x)


def test_prior_has_the_draws_of_the_model():
    """The band of 4,000 lines through zero with normal slopes: to 5 standard errors."""
    x = np.array([1.0, -1.0, 0.0])
    ax = plot_prior(model, x, site="curve", num_draws=4000, offset=3.0, y=x)
    low, high = bounds(ax.collections[0])
    np.testing.assert_allclose(low, 3 + np.array([-2.82, 0.0, 1.18]), atol=0.09)
    np.testing.assert_allclose(high, 3 + np.array([-1.18, 0.0, 2.82]), atol=0.09)
    assert len(ax.lines) == 61
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [-1.0, 0.0, 1.0])
    assert words(ax) == ["90% of 4000 draws", "draws of the prior", "measured"]


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: plot_prediction(DRAWS, Y[:3]),
            ValueError,
            "`y` must have one entry for each",
        ),
        (lambda: plot_prediction(DRAWS, x=X[:3]), ValueError, "`x` must have one entry"),
        (lambda: plot_prediction(DRAWS * np.nan), ValueError, "`draws` has 2400 entries"),
        (lambda: plot_prediction(X), ValueError, "`draws` must have an axis of draws"),
        (lambda: plot_prediction(DRAWS, coverages=()), ValueError, "`coverages` must have"),
        (
            lambda: plot_prediction(DRAWS, coverages=(1.0,)),
            ValueError,
            "`coverages` must be",
        ),
        (
            lambda: plot_prediction(DRAWS, xlabel=3),
            TypeError,
            "`xlabel` must be a non-empty string",
        ),
        (
            lambda: plot_prediction(DRAWS, ax=3),
            TypeError,
            "`ax` must be axes of matplotlib",
        ),
        (
            lambda: plot_prediction(DRAWS, ["a"] * 12),
            TypeError,
            "`y` must hold real numbers",
        ),
        (
            lambda: plot_members(DRAWS, x=["a"] * 12),
            TypeError,
            "`x` must hold real numbers",
        ),
        (lambda: plot_prior(model, X, site="curv"), ValueError, "`site` must be"),
        (lambda: plot_prior(model, X), ValueError, "`site` must name a site .* a NoneType"),
        (
            lambda: plot_prior(model, X, site="slope"),
            ValueError,
            "one number for each of the 12",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
