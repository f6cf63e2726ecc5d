"""What the end of Markov chains says of them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC
from scipy.special import chdtri

# Chains of fewer steps, or with less of a warm-up, are tried, not used: their step size has
# hardly settled, and a divergence is no news.
SHORTEST, SHORTEST_WARMUP = 300, 100
# Of healthy chains, the share whose R-hat exceeds `r_hat_limit` by chance; and what one of
# their draws is worth, in independent ones.
FALSE_ALARMS, WORTH = 0.01, 0.25
# A trajectory is cut off at the maximal depth: the draws are right, and cost too much.
DEPTH_SHARE = 0.05


class ChainFigures(NamedTuple):
    """Figures of chains; NaN or None where there are none.

    Args:
        num_draws: Draws of all chains.
        divergences: Divergent ones of them; None for samplers that tell of none.
        r_hat: The worst split R-hat of all numbers that were drawn.
        r_hat_site: Where it is.
        n_eff: The effective sample size there.
        limit: The R-hat that healthy chains of this length exceed once in a hundred fits.
        depth_share: The share of draws whose trajectory reached the maximal depth.
        max_depth: That depth.
    """

    num_draws: int
    divergences: int | None
    r_hat: float
    r_hat_site: str
    n_eff: float
    limit: float
    depth_share: float | None
    max_depth: int | None

    @classmethod
    def of(cls, samples: Mapping[str, Array], mcmc: MCMC) -> "ChainFigures":
        """The figures of `samples`, (chains, draws, *site), as `mcmc` drew them."""
        values = {name: np.asarray(x) for name, x in samples.items()}
        r_hats = worst_of(split_r_hats(values), np.nanargmax)
        site, at, r_hat = r_hats or ("", (), float("nan"))
        n_eff = float("nan")
        if r_hats:
            n_eff = float(effective_sample_size(values[site][(..., *at)].astype(float)))
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
            r_hat,
            label(site, at),
            n_eff,
            r_hat_limit(chains, draws, numbers),
            reached,
            depth,
        )

    def advice(self) -> Iterator[str]:
        """What to do, with the figures that ask for it."""
        if self.divergences:
            yield (
                f"{self.divergences} of {self.num_draws} draws are divergent: the chains miss "
                "a part of the posterior. Take smaller steps, MCMC(kernel_options="
                '{"target_accept_prob": 0.95}), or other coordinates, `autoreparam` or a '
                "layer's `centered=False`."
            )
        if self.r_hat > self.limit:
            yield (
                f"R-hat is {self.r_hat:.2f} at {self.r_hat_site}, where chains that agree have "
                f"at most {self.limit:.2f}; the draws are worth {self.n_eff:.0f} independent "
                "ones there. Take more warm-up and draws; if it stays, the posterior has "
                "several modes or two sites do the same."
            )
        if self.max_depth and (self.depth_share or 0.0) > DEPTH_SHARE:
            yield (
                f"{self.depth_share:.0%} of the draws reached the maximal tree depth "
                f"{self.max_depth}: the chains are slow. Scale the inputs to order one, or set "
                f'MCMC(kernel_options={{"max_tree_depth": {self.max_depth + 2}}}).'
            )


def are_long(mcmc: MCMC) -> bool:
    """Whether the chains are long enough for their end to say something."""
    steps = mcmc.num_warmup + mcmc.num_samples
    return steps >= SHORTEST and mcmc.num_warmup >= SHORTEST_WARMUP


def split_r_hats(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split R-hat of each entry of each site; of four draws and more."""
    enough = {name: x for name, x in samples.items() if x.shape[1] >= 4}
    with np.errstate(invalid="ignore", divide="ignore"):
        return {n: np.asarray(split_gelman_rubin(_real(x))) for n, x in enough.items()}


def effective_sizes(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The effective sample size of each entry of each site; of four draws and more."""
    enough = {name: x for name, x in samples.items() if x.shape[1] >= 4}
    with np.errstate(invalid="ignore", divide="ignore"):
        return {n: np.asarray(effective_sample_size(_real(x))) for n, x in enough.items()}


def _real(x: np.ndarray) -> np.ndarray:
    return x.astype(float)


def worst_of(figures: Mapping[str, np.ndarray], arg: Any) -> tuple[str, Any, float] | None:
    """The site, the entry and the figure that `arg`, a function like `nanargmax`, picks.

    Entries that never change have no figure, NaN. None if there is no figure at all.
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


def label(site: str, at: tuple[int, ...]) -> str:
    """An entry of a site: ``weight[0,2]``."""
    return site + (f"[{','.join(map(str, at))}]" if at else "")


def r_hat_limit(num_chains: int, num_draws: int, num_numbers: int) -> float:
    """The R-hat from which chains are said to differ: 1.01, or more for short ones.

    Two halves of each of M / 2 chains, whose n draws are worth `WORTH` n independent ones,
    have means that differ by chance: R-hat² - 1 is about χ²(M - 1) / (M - 1) / (`WORTH` n).
    The limit is exceeded by the largest of `num_numbers` R-hats, if they are healthy, in at
    most one of a hundred fits. (Vehtari et al. 2021 have 1.01; with four chains of 1,000 draws
    of ten numbers the limit is 1.014.)
    """
    freedom = 2 * num_chains - 1
    worth = max(WORTH * (num_draws // 2), 2.0)
    square = chdtri(freedom, FALSE_ALARMS / max(num_numbers, 1))
    return max(1.01, float(np.sqrt(1.0 + square / freedom / (worth - 1.0))))


def noted_by(mcmc: MCMC) -> dict[str, np.ndarray]:
    """What the sampler noted of each draw, (chains, draws)."""
    noted = mcmc.get_extra_fields(group_by_chain=True)
    return {name: np.asarray(x) for name, x in noted.items() if not isinstance(x, dict)}


def max_depth_of(mcmc: MCMC) -> int | None:
    """The maximal depth of NUTS's trees after the warm-up."""
    if getattr(mcmc.sampler, "_max_tree_depth", None) is None:
        return None
    depth = mcmc.sampler._max_tree_depth
    return int(depth[1] if isinstance(depth, tuple) else depth)


def energy_share(energy: np.ndarray) -> float:
    """The worst chain's fraction of missing information, E-BFMI, of energies (chains, draws).

    References:
        Betancourt (2016), "Diagnosing suboptimal cotangent disintegrations in Hamiltonian
        Monte Carlo", arXiv:1604.00695, equation 6; below 0.3 is low.
    """
    steps, swings = np.diff(energy.astype(float), axis=1) ** 2, energy.var(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.min(steps.sum(1) / (swings * energy.shape[1])))
