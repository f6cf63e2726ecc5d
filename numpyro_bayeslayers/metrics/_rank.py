"""Exact tests and bands for the uniformity of ranks, based on their distribution function."""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int
from scipy.special import bdtr, bdtrc, gammaln

from .. import _checks
from .._typing import Column

#: The largest number of points at which the distribution function is evaluated.
_MOST_PLACES = 100


class RankBand(NamedTuple):
    """A simultaneous band for the empirical distribution function of uniform ranks.

    Args:
        place: The points at which it is evaluated, which are also its expected values.
        low: The lower limit at each point.
        high: The upper limit at each point.
    """

    place: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]


def rank_p_value(
    ranks: Int[ArrayLike, "n *quantities"] | Column, num_draws: int
) -> Float[np.ndarray, "*quantities"]:
    r"""The p-value of an exact test that ranks are uniform.

    With $N_k$ the number of ranks up to the point $z_k$, the statistic is the smallest
    two-sided tail probability over all points,

    $$\gamma = \min_k\, 2 \min\{P(B_k \le N_k),\; P(B_k \ge N_k)\}, \qquad
    B_k \sim \mathrm{Binomial}(n, z_k)$$

    and the p-value is $P(\gamma' \le \gamma)$ for uniform ranks. It is computed exactly from
    the Markov chain of the $N_k$, without simulation, and accounts for the number of points.

    Args:
        ranks: For each replication, the number of draws below a value that should be
            exchangeable with them: whole numbers from 0 to `num_draws`.
        num_draws: The number of draws, at least 1.

    Raises:
        TypeError: If `ranks` are not integers, or `num_draws` is not an integer.
        ValueError: If there are no ranks, or one is out of range.

    Example:
        >>> bool(rank_p_value(np.arange(100), 99) > 0.99)
        True
        >>> bool(rank_p_value(np.repeat([0, 99], 50), 99) < 1e-9)
        True

    References:
        Säilynoja, Bürkner, Vehtari (2022), "Graphical test for discrete uniformity and its
        applications in goodness-of-fit evaluation and multiple sample comparison",
        Statistics and Computing 32, section 2.
    """
    num_draws = _checks.size("num_draws", num_draws)
    found = np.asarray(ranks)
    if found.dtype.kind not in "iu":
        raise TypeError(f"`ranks` must be integers, got {found.dtype}.")
    if not found.ndim or not found.size:
        raise ValueError(f"`ranks` must have at least one rank, got shape {found.shape}.")
    if found.min() < 0 or found.max() > num_draws:
        raise ValueError(
            f"`ranks` must be from 0 to `num_draws`, {num_draws}, got {found.min()} to "
            f"{found.max()}."
        )
    n, flat = len(found), found.reshape(len(found), -1)
    edges, place = _places(num_draws)
    counts = (flat[None] < edges[:, None, None]).sum(1)  # (places, quantities)
    tails = np.take_along_axis(_tails(n, place), counts, axis=1).min(0)
    levels, back = np.unique(tails, return_inverse=True)
    return _p_values(n, place, levels)[back].reshape(found.shape[1:])


def rank_band(num_ranks: int, num_draws: int, *, prob: float = 0.95) -> RankBand:
    """A band that contains the distribution function of uniform ranks with probability `prob`.

    Args:
        num_ranks: The number of ranks, at least 1.
        num_draws: The number of draws, at least 1.
        prob: The least probability of being inside at all points together, above 0 and
            below 1.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If an argument is out of range.

    Example:
        >>> band = rank_band(100, 9)
        >>> [float(end[4]) for end in band]  # the point, and the limits
        [0.5, 0.37, 0.63]

    References:
        See `rank_p_value`.
    """
    n = _checks.size("num_ranks", num_ranks)
    num_draws = _checks.size("num_draws", num_draws)
    outside = 1.0 - float(_checks.share("prob", prob))
    _, place = _places(num_draws)
    tails = _tails(n, place)
    low, high = 0.0, 1.0
    for _ in range(3):  # each pass evaluates 40 levels in between
        levels = np.linspace(low, high, 42)[1:-1]
        is_out = _p_values(n, place, levels) > outside
        first = int(is_out.argmax()) if is_out.any() else len(levels)
        ends = np.concatenate([[low], levels, [high]])
        low, high = ends[first], ends[first + 1]
    inside = tails > low
    count = np.arange(n + 1)
    least = np.where(inside, count, n).min(1)
    most = np.where(inside, count, 0).max(1)
    return RankBand(place, least / n, most / n)


def _places(num_draws: int) -> tuple[np.ndarray, np.ndarray]:
    """The ranks that bound the counts, and their probabilities under uniformity."""
    edges = np.arange(1, num_draws + 1)
    if num_draws > _MOST_PLACES:
        edges = np.unique(np.linspace(1, num_draws, _MOST_PLACES).round().astype(int))
    return edges, edges / (num_draws + 1)


def _tails(n: int, place: np.ndarray) -> np.ndarray:
    """The two-sided tail probability of each count at each point."""
    count, p = np.arange(n + 1), place[:, None]
    below = bdtr(count, n, p)
    above = np.where(count > 0, bdtrc(count - 1, n, p), 1.0)
    return np.minimum(1.0, 2 * np.minimum(below, above))


def _p_values(n: int, place: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The probability that the smallest tail is at most each level, by the Markov chain."""
    count = np.arange(n + 1)
    is_out = _tails(n, place)[None] <= levels[:, None, None]
    more = count[None] - count[:, None]  # the increase of the count in one step
    left = n - count[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = gammaln(left + 1) - gammaln(more + 1) - gammaln(left - more + 1)
    ways = np.where(more >= 0, ways, -np.inf)
    mass = np.zeros((len(levels), n + 1))
    mass[:, 0] = 1.0
    gone, before = np.zeros(len(levels)), 0.0
    for k, now in enumerate(place):
        q = (now - before) / (1.0 - before)
        moves = np.exp(
            ways + np.maximum(more, 0) * np.log(q) + (left - more) * np.log1p(-q)
        )
        mass = mass @ moves
        gone += np.where(is_out[:, k], mass, 0.0).sum(1)
        mass = np.where(is_out[:, k], 0.0, mass)
        before = now
    return np.minimum(gone, 1.0)
