"""What the figure of losses draws."""

from types import SimpleNamespace

import numpy as np
import pytest

from numpyro_bayeslayers.plots import plot_losses

from .test_prediction import words

RNG = np.random.default_rng(2)


def test_each_member_is_a_line():
    losses, held_out = RNG.normal(size=(3, 40)), RNG.normal(size=(3, 4))
    ax = plot_losses(losses, held_out)
    for line, member in zip(ax.lines, [*losses, *held_out], strict=True):
        np.testing.assert_allclose(line.get_ydata(), member)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(40) + 1)
    np.testing.assert_array_equal(ax.lines[-1].get_xdata(), [10, 20, 30, 40])
    assert words(ax) == ["training, 3 members", "held out, 3 members"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss (nats)")


def test_of_a_fit_and_of_one_member():
    ax = plot_losses(SimpleNamespace(losses=np.arange(5.0)))
    assert words(ax) == ["training, 1 member"]


def test_scores_of_held_out_rows_have_an_axis_of_their_own():
    """Nats for each row, at the steps after which there was a look."""
    seen = SimpleNamespace(steps=np.array([0, 4, 8]), log_density=-RNG.uniform(size=(2, 3)))
    ax = plot_losses(SimpleNamespace(losses=np.ones((2, 8)), validation=seen))
    right = ax.figure.axes[-1]
    for line, member in zip(right.lines, seen.log_density, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), seen.steps)
        np.testing.assert_allclose(line.get_ydata(), -member)
    assert right.get_ylabel() == "held out: negative log density (nats per row)"
    assert words(ax) == ["training, 2 members", "held out, 2 members"]


def test_many_steps_are_drawn_as_means():
    losses = RNG.normal(size=(1, 2000))
    (line,) = plot_losses(losses).lines
    np.testing.assert_allclose(line.get_ydata(), losses.reshape(500, 4).mean(1))


def test_the_steep_start_does_not_set_the_range():
    losses = np.concatenate([[1e9, 1e6], np.linspace(3.0, 1.0, 98)])
    low, high = plot_losses(losses).get_ylim()
    assert 0 < low < 1 and 2 < high < 4


def test_members_that_turned_nan_end_with_a_cross():
    losses = np.ones((2, 10))
    losses[1, 6:] = np.nan
    ax = plot_losses(losses)
    cross = ax.lines[-1]
    assert cross.get_marker() == "x" and cross.get_xdata()[0] == 6
    assert words(ax)[-1] == "turned NaN"
    losses[1] = [1, np.nan, *np.ones(8)]  # it came back
    ax = plot_losses(losses)
    assert len(ax.lines) == 2 and np.isnan(ax.lines[1].get_ydata()[1])


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(TypeError, match="`losses` must have losses, got None"):
        plot_losses(SimpleNamespace(losses=None))
    with pytest.raises(ValueError, match="`losses` must have an axis of members"):
        plot_losses(np.ones((2, 3, 4)))
    with pytest.raises(TypeError, match="`held_out` must hold real numbers"):
        plot_losses(np.ones(3), ["a"])
