"""What figures of regressions draw: effects of parts, and coefficients by name."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.plots import plot_effects, plot_forest

RNG = np.random.default_rng(3)
AGE = RNG.uniform(20, 80, 9)
STORE = np.array(["b", "a", "c"] * 3)
OF_AGE = RNG.normal(size=(100, 9)) + AGE
LEVELS = RNG.normal(size=(100, 3))
OF_STORE = LEVELS[:, [1, 0, 2] * 3]
TABLE = pd.DataFrame(
    {
        "mean": 0.0,
        "median": [0.1, 0.2, 0.3],
        "5%": [0.0, -0.1, -0.2],
        "95%": [0.4, 0.5, 0.6],
    },
    index=["price.beta[age]", "price.beta[area]", "prices"],
)


def test_effects_are_less_their_mean_over_rows():
    """Medians along numbers; for words one dot for each, by name."""
    axes = plot_effects(
        {"age": OF_AGE, "store": OF_STORE, "other": OF_AGE},
        {"age": AGE, "store": STORE},
        xlabels={"age": "age (years)"},
        ylabel="effect (log price)",
    )
    assert [ax.get_xlabel() for ax in axes] == ["age (years)", "store"]
    assert axes[0].get_ylabel() == "effect (log price)"
    centered = OF_AGE - OF_AGE.mean(1, keepdims=True)
    order = np.argsort(AGE)
    np.testing.assert_allclose(axes[0].lines[0].get_xdata(), AGE[order])
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), np.median(centered, 0)[order])
    each = LEVELS - LEVELS.mean(1, keepdims=True)
    dots = axes[1].lines[0]
    np.testing.assert_allclose(dots.get_ydata(), np.median(each, 0))
    assert [t.get_text() for t in axes[1].get_xticklabels()] == ["a", "b", "c"]
    ends = np.array(axes[1].collections[0].get_segments())[:, :, 1].T
    np.testing.assert_allclose(ends, np.quantile(each, [0.05, 0.95], axis=0))


def test_effects_take_axes():
    given = plt.subplots(1, 2)[1]
    found = plot_effects({"a": OF_AGE, "b": OF_AGE}, {"a": AGE, "b": AGE}, ax=given)
    assert list(found) == list(given)
    one = plt.subplots()[1]
    assert (
        plot_effects({"a": OF_AGE}, {"a": pd.Series(AGE, name="years")}, ax=one)[0] is one
    )
    assert one.get_xlabel() == "years"


def test_forest_has_a_line_for_each_entry():
    ax = plot_forest(TABLE, xlabel="log price")
    assert [t.get_text() for t in ax.get_yticklabels()] == list(TABLE.index)
    dots = ax.lines[0]
    np.testing.assert_allclose(dots.get_xdata(), TABLE["median"])
    assert (np.diff(dots.get_ydata()) < 0).all()  # from the top
    ends = np.array(ax.collections[0].get_segments())[:, :, 0]
    np.testing.assert_allclose(ends, TABLE[["5%", "95%"]])
    assert ax.get_xlabel() == "log price"
    handles = ax.get_legend().legend_handles
    assert handles[1].get_marker() == "o" and handles[1].get_linestyle() == "None"


def test_forest_of_some_sites_of_a_fit():
    class Found:
        def summary(self, prob):
            assert prob == 0.8
            return TABLE

    ax = plot_forest(Found(), sites=["price"], prob=0.8)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(TABLE.index[:2])


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_effects({"a": OF_AGE}, {"b": AGE}), ValueError, "`x` must be"),
        (lambda: plot_effects({"a": OF_AGE}, {}), ValueError, "`x` must have at least one"),
        (
            lambda: plot_effects({"a": OF_AGE}, {"a": AGE[:2]}),
            ValueError,
            r"`x\['a'\]` must",
        ),
        (
            lambda: plot_effects({"a": OF_AGE}, {"a": STORE[:2]}),
            ValueError,
            r"`x\['a'\]` must",
        ),
        (
            lambda: plot_effects({"a": AGE}, {"a": AGE}),
            ValueError,
            r"`effects\['a'\]` must",
        ),
        (
            lambda: plot_effects(OF_AGE, {"a": AGE}),
            TypeError,
            "`effects` must be a mapping",
        ),
        (
            lambda: plot_effects({"a": OF_AGE}, {"a": AGE}, ax=plt.subplots(1, 2)[1]),
            ValueError,
            "`ax` must hold 1 axes",
        ),
        (lambda: plot_forest(OF_AGE), TypeError, "`found` must be a fit, or the table"),
        (
            lambda: plot_forest(TABLE, sites=["cost"]),
            ValueError,
            "`sites` must be prefixes",
        ),
        (
            lambda: plot_forest(pd.concat([TABLE] * 40)),
            ValueError,
            "`sites` must select 1 to 80",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
