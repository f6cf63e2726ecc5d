"""Whether ranks are uniform: the values of simulated ranks, and the band they stay in."""

import numpy as np
import pytest

from numpyro_bayeslayers.metrics import rank_band, rank_p_value

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "num_draws"), [(40, 9), (60, 30)])
def test_values_are_those_of_simulated_ranks(n, num_draws):
    """P(p <= a) <= a, and the next larger value that p takes is above a.

    Of 4,000 sets the share is off by five standard errors, 0.004 to 0.025, once in a million.
    """
    ranks = RNG.integers(0, num_draws + 1, (n, 4000))
    p = rank_p_value(ranks, num_draws)
    for a in (0.01, 0.05, 0.2, 0.5):
        share = (p <= a).mean()
        assert share < a + 5 * np.sqrt(a * (1 - a) / p.size)
        nearest = p[p > a].min()  # it is discrete: the value has its own probability
        share = (p <= nearest).mean()
        assert abs(share - nearest) < 5 * np.sqrt(nearest * (1 - nearest) / p.size)


def test_few_ranks_are_counted_by_hand():
    """One rank of four equally likely ones: 0 and 3 have a tail of a half, 1 and 2 of one."""
    np.testing.assert_allclose(rank_p_value(np.array([[0, 1, 2, 3]]), 3), [0.5, 1, 1, 0.5])


@pytest.mark.parametrize("num_draws", [20, 250])
def test_the_band_holds_uniform_ranks_so_often(num_draws):
    """2,000 sets: five standard errors of 95% are 2.4%, once in a million."""
    band = rank_band(50, num_draws)
    ranks = RNG.integers(0, num_draws + 1, (50, 2000))
    edges = np.round(band.place * (num_draws + 1))
    share = (ranks[None] < edges[:, None, None]).mean(1)
    inside = (share >= band.low[:, None]) & (share <= band.high[:, None])
    assert 0.926 < inside.all(0).mean() < 0.999
    p = rank_p_value(ranks, num_draws)
    assert (inside.all(0) == (p > 0.05)).all()


@pytest.mark.parametrize(
    ("ranks", "num_draws", "error", "words"),
    [
        ([0.5], 9, TypeError, "`ranks` must be integers"),
        ([10], 9, ValueError, "`ranks` must be from 0 to `num_draws`, 9, got 10"),
        ([-1], 9, ValueError, "`ranks` must be from 0"),
        (np.zeros((0, 2), int), 9, ValueError, "`ranks` must have at least one rank"),
        ([1], 0, ValueError, "`num_draws`"),
    ],
)
@pytest.mark.usefixtures("as_users_run")
def test_what_are_no_ranks_is_refused(ranks, num_draws, error, words):
    with pytest.raises(error, match=words):
        rank_p_value(np.asarray(ranks), num_draws)
