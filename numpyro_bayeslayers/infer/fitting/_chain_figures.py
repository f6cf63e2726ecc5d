"""Convergence diagnostics of Markov chains."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import ArrayLike
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC
from scipy.special import chdtri

# Shorter chains or warm-ups are trial runs: their step size has not settled, and divergences
# are expected.
SHORTEST, SHORTEST_WARMUP = 300, 100
# The false-alarm probability of `r_hat_limit`, and the number of independent draws that one
# draw is assumed to be worth.
FALSE_ALARMS, WORTH = 0.01, 0.25
# Trajectories are truncated at the maximum depth: the draws are correct but expensive.
DEPTH_SHARE = 0.05


#: A site, and the indices of one of its entries.
Entry: TypeAlias = tuple[str, tuple[int, ...]]


class ChainFigures(NamedTuple):
    """Diagnostics of chains; NaN or None if not available.

    Args:
        num_draws: The number of draws of all chains.
        divergences: The number of divergent draws; None for samplers that do not report them.
        r_hat: The largest split R-hat of all sampled entries.
        r_hat_at: The site and entry with the largest R-hat; None if not available.
        n_eff: The effective sample size of this entry.
        limit: The R-hat that converged chains of this length exceed in one of a hundred fits.
        depth_share: The fraction of draws whose trajectory reached the maximum depth.
        max_depth: The maximum depth.
        num_chains: The number of chains.
        stuck: The chains in which no continuous value ever changes.
        smaller: The options of the kernel that make steps smaller, in words; empty if it has
            none.
    """

    num_draws: int
    divergences: int | None
    r_hat: float
    r_hat_at: Entry | None
    n_eff: float
    limit: float
    depth_share: float | None
    max_depth: int | None
    num_chains: int
    stuck: tuple[int, ...]
    smaller: str = ""

    @classmethod
    def of(cls, samples: Mapping[str, ArrayLike], mcmc: MCMC) -> "ChainFigures":
        """The diagnostics of `samples`, (chains, draws, *site), drawn by `mcmc`."""
        values = {name: np.asarray(x) for name, x in samples.items()}
        r_hats = worst_of(split_r_hats(values), np.nanargmax)
        n_eff = float("nan")
        if r_hats:
            site, at, _ = r_hats
            n_eff = float(effective_sizes({site: values[site][(..., *at)]})[site])
        numbers = sum(x[0, 0].size for x in values.values())
        chains, draws = mcmc.num_chains, mcmc.num_samples
        noted = noted_by(mcmc)
        depth = max_depth_of(mcmc)
        reached = None
        if depth is not None and "num_steps" in noted:
            reached = float((noted["num_steps"] >= 2**depth - 1).mean())
        return cls(
            chains * draws,
            int(noted["diverging"].sum()) if "diverging" in noted else None,
            r_hats[2] if r_hats else float("nan"),
            r_hats[:2] if r_hats else None,
            n_eff,
            r_hat_limit(chains, draws, numbers),
            reached,
            depth,
            chains,
            stuck_chains(values),
            smaller_steps(mcmc.sampler),
        )

    def advice(self, label: Callable[[Entry], str]) -> Iterator[str]:
        """Advice with the diagnostics that require it; `label` returns the name of an entry."""
        yield from advice_on_stuck(self.stuck, self.num_chains)
        if self.divergences:
            how = f", MCMC(kernel_options={self.smaller})" if self.smaller else ""
            yield (
                f"{self.divergences} of {self.num_draws} draws are divergent: the chains miss "
                f"a part of the posterior. Use smaller steps{how}, or reparameterize by "
                "`autoreparam` or a layer's `centered=False`."
            )
        if self.r_hat_at and self.r_hat > self.limit:
            worth = f"; the draws are worth {self.n_eff:.0f} independent ones there"
            yield (
                f"R-hat is {self.r_hat:.2f} at {label(self.r_hat_at)}, where converged chains "
                f"have at most {self.limit:.2f}{'' if np.isnan(self.n_eff) else worth}. Use "
                "more warm-up and draws; if it stays high, the posterior has several modes or "
                "two sites are not identified."
            )
        if self.max_depth and (self.depth_share or 0.0) > DEPTH_SHARE:
            yield (
                f"{self.depth_share:.0%} of the draws reached the maximum tree depth "
                f"{self.max_depth}: the chains are slow. Scale the inputs to order one, or set "
                f'MCMC(kernel_options={{"max_tree_depth": {self.max_depth + 2}}}).'
            )


def are_long(mcmc: MCMC) -> bool:
    """Whether the chains are long enough for diagnostics."""
    steps = mcmc.num_warmup + mcmc.num_samples
    return steps >= SHORTEST and mcmc.num_warmup >= SHORTEST_WARMUP


def split_r_hats(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split R-hat of each entry of each site; needs at least four draws.

    If all halves of chains are constant, it is infinite if they differ and NaN if they are
    equal.
    """
    return _each(samples, split_gelman_rubin, still=np.inf)


def effective_sizes(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The effective sample size of each entry of each site; needs at least four draws.

    It is NaN if all halves of chains are constant.
    """
    return _each(samples, effective_sample_size, still=np.nan)


def _each(
    samples: Mapping[str, np.ndarray], figure: Callable[[Any], Any], *, still: float
) -> dict[str, np.ndarray]:
    """A diagnostic of each entry, with a given value where draws are constant up to rounding."""
    found = {}
    for name, x in samples.items():
        if x.shape[1] < 4:
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            value = np.asarray(figure(x.astype(float)))
        half = x.shape[1] // 2
        is_still = _never_changes(x[:, :half]) & _never_changes(x[:, -half:])
        is_one = (x == x[:1, :1]).all((0, 1))
        found[name] = np.where(is_still.all(0), np.where(is_one, np.nan, still), value)
    return found


def _never_changes(x: np.ndarray) -> np.ndarray:
    """Whether all draws of a chain are equal, (chains, *site), for draws (chains, draws, ...)."""
    return (x == x[:, :1]).all(1)


def stuck_chains(samples: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The chains in which no continuous value ever changes; needs at least four draws."""
    real = [x for x in samples.values() if np.issubdtype(x.dtype, np.floating) and x.size]
    if not real or real[0].shape[1] < 4:
        return ()
    still = [_never_changes(x).reshape(len(x), -1).all(1) for x in real]
    return tuple(int(e) for e in np.flatnonzero(np.logical_and.reduce(still)))


def advice_on_stuck(stuck: tuple[int, ...], num_chains: int) -> Iterator[str]:
    """What to do about chains that never moved."""
    if stuck:
        yield (
            f"Of {num_chains} chains, these never moved (counted from 0): "
            f"{', '.join(map(str, stuck))}. Each of their draws is the first. Use more warm-up, "
            "scale inputs and outcomes to order one, and check that the model's density is "
            "finite at their initial values."
        )


def worst_of(figures: Mapping[str, np.ndarray], arg: Any) -> tuple[str, Any, float] | None:
    """The site, entry and value selected by `arg`, a function like `nanargmax`.

    Entries that never change are NaN. None if all values are NaN.
    """
    found = {}
    for name, x in figures.items():
        if x.size and not np.isnan(x).all():
            at = np.unravel_index(arg(x), x.shape)
            found[name] = (name, tuple(int(i) for i in at), float(x[at]))
    if not found:
        return None
    names = list(found)
    return found[names[int(arg([found[name][2] for name in names]))]]


def r_hat_limit(num_chains: int, num_draws: int, num_numbers: int) -> float:
    """The R-hat above which chains count as different: 1.01, or more for short chains.

    The means of the M half-chains, whose n draws are worth `WORTH` n independent ones, differ
    by chance: R-hat² - 1 is about χ²(M - 1) / (M - 1) / (`WORTH` n). The largest of
    `num_numbers` R-hats of converged chains exceeds the limit in at most one of a hundred fits.
    (Vehtari et al. 2021 have 1.01; with four chains of 1,000 draws of ten numbers the limit is
    1.014.)
    """
    freedom = 2 * num_chains - 1
    worth = max(WORTH * (num_draws // 2), 2.0)
    square = chdtri(freedom, FALSE_ALARMS / max(num_numbers, 1))
    return max(1.01, float(np.sqrt(1.0 + square / freedom / (worth - 1.0))))


def noted_by(mcmc: MCMC) -> dict[str, np.ndarray]:
    """The sampler's statistics of each draw, (chains, draws)."""
    noted = mcmc.get_extra_fields(group_by_chain=True)
    return {name: np.asarray(x) for name, x in noted.items() if not isinstance(x, dict)}


def max_depth_of(mcmc: MCMC) -> int | None:
    """The maximum tree depth of NUTS after the warm-up."""
    if getattr(mcmc.sampler, "_max_tree_depth", None) is None:
        return None
    depth = mcmc.sampler._max_tree_depth
    return int(depth[1] if isinstance(depth, tuple) else depth)


def smaller_steps(sampler: Any) -> str:
    """Options of a kernel that make its steps smaller; empty if it has none of a known name."""
    if hasattr(sampler, "smaller_steps"):  # read from a file
        return sampler.smaller_steps
    takes = inspect.signature(type(sampler)).parameters
    known = {"target_accept_prob": 0.95, "energy_variance": 1e-4}
    return next((f'{{"{name}": {x}}}' for name, x in known.items() if name in takes), "")


def energy_share(energy: np.ndarray) -> float:
    """The worst chain's fraction of missing information, E-BFMI, of energies (chains, draws).

    References:
        Betancourt (2016), "Diagnosing suboptimal cotangent disintegrations in Hamiltonian
        Monte Carlo", arXiv:1604.00695, equation 6; below 0.3 is low.
    """
    steps, swings = np.diff(energy.astype(float), axis=1) ** 2, energy.var(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.min(steps.sum(1) / (swings * energy.shape[1])))
