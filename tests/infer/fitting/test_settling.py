"""When a loss is said to fall still: on losses whose rest is known."""

import numpy as np
import pytest

from numpyro_bayeslayers.infer.fitting._settling import cosine, settling


def losses(tau, *, height, swing, annealed=0.0, num_steps=2000, sizes=cosine, seed=0):
    """A fall by exp(-way / tau), where the whole way is one, and noise of steps."""
    done = (np.arange(num_steps) + 0.5) / num_steps
    size = np.ones(num_steps) if sizes is None else sizes(done)
    way = np.cumsum(size) / np.sum(size)
    noise = swing * np.random.default_rng(seed).normal(size=num_steps)
    return height * np.exp(-way / tau) + annealed * size + noise


@pytest.mark.parametrize("sizes", [cosine, None])
@pytest.mark.parametrize("num_steps", [300, 2000])
@pytest.mark.parametrize("annealed", [0.0, 5.0])
def test_losses_that_have_arrived_are_quiet(sizes, num_steps, annealed):
    """Also where smaller steps swing less, so that the loss falls to the very end.

    One of 30,000 would fall so much by chance, one of fewer by what matters: none of 50.
    """
    if sizes is None and annealed:
        pytest.skip("nothing is annealed at a constant step size")
    for seed in range(50):
        options = {
            "annealed": annealed,
            "num_steps": num_steps,
            "sizes": sizes,
            "seed": seed,
        }
        assert not settling(
            losses(0.05, height=1e3, swing=5.0, **options), sizes
        ).is_falling


@pytest.mark.parametrize("sizes", [cosine, None])
@pytest.mark.parametrize("num_steps", [300, 2000])
@pytest.mark.parametrize("tau", [0.2, 0.3, 1.0])
def test_losses_that_fall_are_told(sizes, num_steps, tau):
    """What is left is estimated within a factor of 1.5, the slope as over the second half."""
    options = {"num_steps": num_steps, "sizes": sizes, "height": 1e4, "swing": 5.0}
    found = settling(losses(tau, **options), sizes)
    left = 1e4 * (np.exp(-1 / tau) - np.exp(-2 / tau))
    assert found.is_falling and left / 1.5 < found.left < left * 1.5
    way = num_steps if sizes is None else num_steps / 2
    mean = 2e4 * (np.exp(-0.5 / tau) - np.exp(-1 / tau)) / way
    assert -2.5 * mean < found.slope < -mean / 2.5


def test_slope_and_its_error_of_a_straight_line():
    """The error is that of least squares of all losses, by block means as well (24 blocks).

    Residuals of 22 degrees give the error to 15%; 4 of its errors are for the slope.
    """
    count, swing = 4000, 2.0
    line = -0.01 * np.arange(count) + swing * np.random.default_rng(0).normal(size=count)
    found = settling(line)
    assert abs(found.slope + 0.01) < 4 * found.error
    exact = swing / np.sqrt(np.sum((np.arange(2000) - 999.5) ** 2))
    assert 0.5 < found.error / exact < 1.6
    np.testing.assert_allclose(found.swing, swing, rtol=0.15)
    np.testing.assert_allclose(found.left, 0.01 * count, rtol=0.2)  # as many steps again


def test_short_runs_and_losses_that_are_not_finite_say_nothing():
    assert settling(np.linspace(1e3, 0.0, 299)) is None
    broken = np.linspace(1e3, 0.0, 600)
    broken[500] = np.inf
    assert settling(broken) is None
    broken[500], broken[3] = 100.0, np.nan  # long before the end
    assert settling(broken).is_falling
