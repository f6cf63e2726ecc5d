"""How a fit ended: its figures, and what to do about them."""

import functools
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from ._chain_figures import (
    ChainFigures,
    Entry,
    are_long,
    effective_sizes,
    energy_share,
    noted_by,
    worst_of,
)
from ._labels import Labels, labels_of, line
from ._method import EVIDENCE, Posterior, Problem
from ._pareto import k_limit, pareto_k
from ._training_figures import TrainingFigures

NUM_WEIGHTS = 1000


class Diagnostics(NamedTuple):
    r"""How a fit ended. `Fit.diagnostics` gives it; what a method has no figure of is None.

    Args:
        divergences: Draws of all chains that are divergent.
        r_hat: The worst split R-hat of all latent numbers; infinite where chains differ and
            never move, NaN if nothing moves.
        r_hat_site: Where it is, as `Fit.summary` calls it: ``weight[0,2]``, ``beta[age]``.
        n_eff: The lowest effective sample size.
        n_eff_site: Where it is.
        depth_share: The share of draws at the maximal tree depth of `NUTS`.
        energy: The worst chain's E-BFMI; below 0.3 the chain hardly changes its energy, and
            needs other coordinates.
        centering: The centeredness of each entry of the sites that chains drew in other
            coordinates, by site; see `MCMC`.
        slope: For each member, the slope of the loss, in nats a step. Where the step size is
            a number it falls to zero along a cosine, and every loss ends flat: the slope is
            therefore that of steps of the first size, over the second half of the way. Any
            other optimizer is taken to have a constant step size. NaN below 300 steps.
        slope_error: Its standard error.
        pareto_k: For each member, $\hat k$ of the weights that correct the guide's draws: up
            to 0.5 good, above 0.7 the guide is far from the posterior. NaN for points.
        log_evidence: For each member of `Laplace`, the log of its approximation of the
            evidence.
        not_finite: The members, particles or chains that are not finite.
        advice: What to do, one sentence or two for each cause.

    Example:
        >>> Diagnostics(divergences=3, r_hat=1.2).r_hat
        1.2

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding,
        and localization", Bayesian Analysis 16, for R-hat and its limit; Betancourt (2016),
        arXiv:1604.00695, for the energy; Yao, Vehtari, Simpson and Gelman (2018), "Yes, but
        did it work?", ICML, for k-hat.
    """

    divergences: int | None = None
    r_hat: float | None = None
    r_hat_site: str | None = None
    n_eff: float | None = None
    n_eff_site: str | None = None
    depth_share: float | None = None
    energy: float | None = None
    centering: dict[str, Array] | None = None
    slope: Float[np.ndarray, " e"] | None = None
    slope_error: Float[np.ndarray, " e"] | None = None
    pareto_k: Float[np.ndarray, " e"] | None = None
    log_evidence: Float[np.ndarray, " e"] | None = None
    not_finite: tuple[int, ...] = ()
    advice: tuple[str, ...] = ()


class Ending:
    """The end of one fit. Its figures are computed once, each when it is first asked for.

    Args:
        method: How it was fitted.
        posterior: What was found.
        problem: What was fitted.
    """

    def __init__(self, method: Any, posterior: Posterior, problem: Problem) -> None:
        self._method = method
        self._posterior = posterior
        self._problem = problem
        self._latent = problem.sites.latent
        self._shapes: np.ndarray | None = None

    @functools.cached_property
    def labels(self) -> Labels:
        """What the entries of sites are called."""
        return labels_of(self._problem)

    def _label(self, entry: Entry) -> str:
        site, at = entry
        shape = (self._posterior.samples or {})[site].shape[2:]
        return line(site, shape, at, self.labels)

    @functools.cached_property
    def _chains(self) -> ChainFigures:
        samples = self._posterior.samples or {}
        latents = {n: x for n, x in samples.items() if n in self._latent}
        kept = self._posterior.finite.take(latents)
        return ChainFigures.of(kept, self._posterior.result.mcmc)

    @functools.cached_property
    def _training(self) -> TrainingFigures:
        return TrainingFigures.of(self._posterior, self._method.optim)

    def warn(self, *, stacklevel: int) -> None:
        """One warning with all that is to be said; of what is there, nothing is drawn."""
        is_short = self._posterior.samples is not None and not are_long(
            self._posterior.result.mcmc
        )
        if said := self._said(are_short=is_short):
            warnings.warn(" ".join(said), stacklevel=stacklevel + 1)

    def _said(self, *, are_short: bool = False) -> list[str]:
        """What is there to say; of chains that are short, only what is beyond doubt."""
        if self._posterior.samples is None:
            return list(self._training.advice())
        said = []
        finite = self._posterior.finite
        if not finite.are_all:
            said.append(f"Not finite: {finite.named()}; predictions leave them out.")
        are_apart = getattr(self._method, "are_apart", False)
        if finite.count and not are_short and not are_apart:
            said += self._chains.advice(self._label)
        return said

    def diagnostics(self) -> Diagnostics:
        """All figures; k-hat and the effective sample sizes are computed here first."""
        posterior, said = self._posterior, self._said()
        bad = tuple(int(e) for e in np.flatnonzero(~posterior.finite.which))
        if posterior.samples is not None:
            return self._of_chains(bad, said)
        slope, error = self._training.slopes()
        k = self.pareto_k()
        if k is not None:
            said += _advice_on_k(k, posterior.finite.noun)
        is_force = posterior.log_weights is None
        evidence = posterior.params.get(EVIDENCE)
        return Diagnostics(
            log_evidence=None if evidence is None else np.asarray(evidence),
            slope=None if is_force else slope,
            slope_error=None if is_force else error,
            pareto_k=k,
            not_finite=bad,
            advice=tuple(said),
        )

    def _of_chains(self, bad: tuple[int, ...], said: list[str]) -> Diagnostics:
        if not self._posterior.finite.count:
            return Diagnostics(not_finite=bad, advice=tuple(said))
        figures, mcmc = self._chains, self._posterior.result.mcmc
        samples = self._posterior.finite.take(self._posterior.samples)
        values = {n: np.asarray(x) for n, x in samples.items() if n in self._latent}
        least = worst_of(effective_sizes(values), np.nanargmin)
        energy = noted_by(mcmc).get("energy")
        return Diagnostics(
            divergences=figures.divergences,
            r_hat=figures.r_hat,
            r_hat_site=self._label(figures.r_hat_at) if figures.r_hat_at else "",
            n_eff=least[2] if least else float("nan"),
            n_eff_site=self._label(least[:2]) if least else "",
            depth_share=figures.depth_share,
            energy=None if energy is None else energy_share(energy),
            centering=self._posterior.result.centering,
            not_finite=bad,
            advice=tuple(said),
        )

    def pareto_k(self) -> Float[np.ndarray, " e"] | None:
        """Of all members, NaN for those that are not finite; None for other methods."""
        posterior = self._posterior
        if posterior.log_weights is None:
            return None
        if self._shapes is None:
            self._shapes = np.full(len(posterior.finite.which), np.nan)
            if posterior.finite.count:
                logs = posterior.log_weights(jax.random.key(0), NUM_WEIGHTS)
                self._shapes[posterior.finite.which] = pareto_k(np.asarray(logs))
        return self._shapes

    def header(self) -> dict[str, Any]:
        """What stands above a summary."""
        bad = [int(e) for e in np.flatnonzero(~self._posterior.finite.which)]
        if self._posterior.samples is not None:
            found = self._posterior.result.centering
            more = {} if found is None else {"centering": found}
            return {"divergences": self._chains.divergences, "not_finite": bad, **more}
        k = self.pareto_k()
        return {"pareto_k": None if k is None else k.tolist(), "not_finite": bad}


def _advice_on_k(shapes: Float[np.ndarray, " e"], noun: str) -> list[str]:
    limit = k_limit(NUM_WEIGHTS)
    bad = np.flatnonzero(shapes > limit)
    if not len(bad):
        return []
    whose = "" if len(shapes) == 1 else f" in {len(bad)} of {len(shapes)} {noun}s"
    return [
        f"Pareto k-hat is {np.nanmax(shapes):.2f}{whose}, above {limit:.2f}: the guide fits "
        'badly. Take a richer guide, VI(guide="full_rank"), or method="mcmc".'
    ]
