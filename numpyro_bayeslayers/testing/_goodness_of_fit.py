"""Goodness-of-fit tests of draws against a density, in one and more dimensions.

The false-alarm probability is below 1e-5 for each cell of the batch (nominally 1e-6 in one
dimension and 7e-6 in more).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jax.scipy.stats import chi2
from numpyro.distributions import biject_to
from numpyro.distributions.util import sum_rightmost

NUM_INTERVALS, NUM_NODES = 50, 24
NUM_PROBES = 12
P_LIMIT, Z_LIMIT = 1e-6, 5.0
# The first draws define the classes and probes, the others are counted.
FIRST = 4_000


def check_fit(d: Any, draws: np.ndarray) -> None:
    r"""Assert that `draws` (n, *batch, *event) have the density of `d`.

    Discrete events are counted. Continuous ones are mapped to unconstrained space by the
    bijection of their support. There, scalars are counted in intervals whose probabilities are
    integrals of the density, and vectors are tested by probes: for every density $q$,

    $$\mathbb{E}_{u \sim p}[q(u) / p(u)] = 1,$$

    which holds only for the true density $p$, including its normalization.
    """
    cells = int(np.prod(d.batch_shape))
    if d.is_discrete:
        _check_counts(d, draws, cells)
        return
    bijection = biject_to(d.support)
    u = np.asarray(bijection.inv(draws))
    rank = 1 + len(d.batch_shape)
    numbers = u.reshape(u.shape[:rank] + (-1,))

    def log_density(u: Any) -> Any:
        x = bijection(u)
        jacobian = bijection.log_abs_det_jacobian(u, x)
        ndim = jnp.ndim(u) - bijection.domain.event_dim
        return d.log_prob(x) + sum_rightmost(jacobian, ndim - (jnp.ndim(u) - u_event))

    u_event = u.ndim - rank
    if numbers.shape[-1] == 1:
        shape = u.shape[1:]

        def of_numbers(points: np.ndarray) -> np.ndarray:
            return np.asarray(jax.jit(log_density)(points.reshape((-1,) + shape)))

        _check_intervals(of_numbers, numbers.reshape(len(u), cells))
    else:
        log_p = np.asarray(jax.jit(log_density)(u[FIRST:])).reshape(-1, cells)
        for cell in range(cells):
            vectors = numbers.reshape(len(u), cells, -1)[:, cell]
            _check_probes(vectors[:FIRST], vectors[FIRST:], log_p[:, cell])


def _check_intervals(
    log_density: Callable[[np.ndarray], np.ndarray], u: np.ndarray
) -> None:
    """Compare counts between quantiles of the first draws with integrals of the density."""
    levels = np.linspace(0.005, 0.995, NUM_INTERVALS + 1)
    edges = np.quantile(u[:FIRST], levels, axis=0)  # (intervals + 1, cells)
    nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
    half = np.diff(edges, axis=0) / 2
    middle = edges[:-1] + half
    points = middle[:, None] + half[:, None] * nodes[:, None]
    density = np.exp(log_density(points)).reshape(points.shape)
    mass = half * np.sum(density * weights[:, None], axis=1)
    rest = u[FIRST:]
    for cell in range(u.shape[1]):
        counts, _ = np.histogram(rest[:, cell], edges[:, cell])
        outside = 1 - mass[:, cell].sum()
        assert outside > -1e-3, f"the density integrates to more than {1 - outside:.4f}"
        counts = np.append(counts, len(rest) - counts.sum())
        _check_chi_square(counts, np.append(mass[:, cell], max(outside, 1e-9)) * len(rest))


def _check_chi_square(counts: np.ndarray, expected: np.ndarray) -> None:
    statistic = np.sum((counts - expected) ** 2 / expected)
    p = float(chi2.sf(statistic, len(counts) - 1))
    worst = int(np.argmax(np.abs(counts - expected) / np.sqrt(expected)))
    assert p > P_LIMIT, (
        f"draws do not have this density: chi square {statistic:.0f} on {len(counts) - 1} "
        f"degrees of freedom; {counts[worst]} draws where {expected[worst]:.0f} are expected"
    )


def _check_counts(d: Any, draws: np.ndarray, cells: int) -> None:
    """Compare counts of events that occur in the first draws; all others form one class."""
    shape = draws.shape[1 + len(d.batch_shape) :]
    events = draws.reshape((len(draws), cells) + shape)
    for cell in range(cells):
        first, rest = events[:FIRST, cell], events[FIRST:, cell]
        seen, number = np.unique(first, axis=0, return_counts=True)
        seen = seen[number >= 10]  # expected counts of at least 40 in a class
        value = np.broadcast_to(
            seen.reshape((len(seen),) + (1,) * len(d.batch_shape) + shape),
            (len(seen),) + tuple(d.batch_shape) + shape,
        )
        mass = np.exp(np.asarray(d.log_prob(value))).reshape(len(seen), cells)[:, cell]
        counts = np.array([np.all(rest == e, axis=tuple(range(1, rest.ndim))).sum()
                           for e in seen])  # fmt: skip
        assert mass.sum() < 1 + 1e-3, f"the probabilities sum to {mass.sum():.4f}"
        counts = np.append(counts, len(rest) - counts.sum())
        expected = np.append(mass, max(1 - mass.sum(), 1e-9)) * len(rest)
        if counts[-1] == 0 and expected[-1] < 1:
            counts, expected = counts[:-1], expected[:-1]
        _check_chi_square(counts, expected)


def _check_probes(first: np.ndarray, rest: np.ndarray, log_p: np.ndarray) -> None:
    """Test that the mean of q/p is one, for normal densities q of many locations and shapes."""
    center, root = _spread(first)
    dim = len(center)
    z = np.linalg.solve(root, (rest - center).T).T
    log_root = np.linalg.slogdet(root)[1]
    rng = np.random.default_rng(0)
    for probe in range(NUM_PROBES):
        shift, axis = rng.normal(size=(2, dim))
        shift *= rng.uniform() / np.linalg.norm(shift)
        axis /= np.linalg.norm(axis)
        # Narrower than the draws, so that the ratio is bounded; every other probe is narrow in
        # one direction.
        scale, thin = 0.8, 0.4 if probe % 2 else 1.0
        y = (z - shift) / scale
        square = np.sum(y**2, axis=1) + (y @ axis) ** 2 * (1 / thin**2 - 1)
        log_q = -0.5 * (square + dim * np.log(2 * np.pi)) - np.log(thin)
        log_q -= log_root + dim * np.log(scale)
        ratio = np.exp(log_q - log_p)
        error = ratio.std() / np.sqrt(len(ratio))
        score = (ratio.mean() - 1) / max(error, 1e-12)
        assert abs(score) < Z_LIMIT, (
            f"draws do not have this density: a probe that should have mean 1 has "
            f"{ratio.mean():.4f}, which is {score:.1f} standard errors away"
        )


def _spread(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center and square root of the covariance matrix, from quantiles and ranks.

    They exist for every distribution, even without finite moments.
    """
    low, center, high = np.quantile(u, [0.25, 0.5, 0.75], axis=0)
    ranks = np.argsort(np.argsort(u, axis=0), axis=0)
    scores = np.asarray(ndtri((ranks + 0.5) / len(u)))
    correlation = np.atleast_2d(np.corrcoef(scores.T)) + 1e-6 * np.eye(u.shape[1])
    scale = (high - low) / 1.349  # the interquartile range of a normal distribution
    return center, scale[:, None] * np.linalg.cholesky(correlation)
