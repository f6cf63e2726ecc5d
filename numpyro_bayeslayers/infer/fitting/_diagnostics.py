"""Diagnostics of a fit: figures and advice."""

import functools
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from ._chain_figures import (
    ChainFigures,
    Entry,
    advice_on_stuck,
    are_long,
    effective_sizes,
    energy_share,
    noted_by,
    stuck_chains,
    worst_of,
)
from ._coordinates import centering_of
from ._falls import advice_on_falls
from ._labels import Labels, labels_of, line
from ._method import EVIDENCE, Posterior, Problem
from ._pareto import k_limit, pareto_k
from ._training_figures import TrainingFigures

NUM_WEIGHTS = 1000


class Diagnostics(NamedTuple):
    r"""Diagnostics of a fit, from `Fit.diagnostics`; None where a method has no such figure.

    Args:
        divergences: Number of divergent draws of all chains.
        r_hat: The largest split R-hat of all latent numbers; infinite if chains are constant
            but differ, NaN if all are constant and equal.
        r_hat_site: The entry with this R-hat, named as in `Fit.summary`: ``weight[0,2]``,
            ``beta[age]``.
        n_eff: The lowest effective sample size.
        n_eff_site: The entry with this effective sample size.
        depth_share: The fraction of draws at the maximal tree depth of `NUTS`.
        energy: The lowest E-BFMI of all chains; below 0.3, the chain explores the energy levels
            poorly and needs a different parameterization.
        centering: By site, the centeredness of each entry of reparameterized sites; see `MCMC`.
            The numbers that `VI` has learned have the members first.
        slope: The slope of each member's loss, in nats per step. If the step size is a number,
            it decays to zero along a cosine and every loss ends flat; the slope is therefore
            per step of the initial size, over the second half of the run. Any other optimizer
            is assumed to have a constant step size. NaN below 300 steps.
        slope_error: Its standard error.
        pareto_k: Pareto $\hat k$ of the importance weights of each member's guide: good up to
            0.5; above 0.7 the guide is far from the posterior. NaN for point estimates.
        log_evidence: The log of the Laplace approximation of the evidence, for each member of
            `Laplace`.
        not_finite: The members, particles or chains that are not finite.
        advice: What to do, in one or two sentences per problem.

    Example:
        >>> Diagnostics(divergences=3, r_hat=1.2).r_hat
        1.2

    References:
        Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), "Rank-normalization, folding,
        and localization", Bayesian Analysis 16, for R-hat and its limit; Betancourt (2016),
        "Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo",
        arXiv:1604.00695, for the energy; Yao, Vehtari, Simpson, Gelman (2018), "Yes, but
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
    """The diagnostics of one fit, each computed once on first use.

    Args:
        method: The method of the fit.
        posterior: The result of the fit.
        problem: The fitted problem.
    """

    def __init__(self, method: Any, posterior: Posterior, problem: Problem) -> None:
        self._method = method
        self._posterior = posterior
        self._problem = problem
        self._latent = problem.sites.latent
        self._shapes: np.ndarray | None = None

    @functools.cached_property
    def labels(self) -> Labels:
        """The names of the entries of sites."""
        return labels_of(self._problem)

    def _label(self, entry: Entry) -> str:
        site, at = entry
        shape = (self._posterior.samples or {})[site].shape[2:]
        return line(site, shape, at, self.labels)

    @functools.cached_property
    def _chains(self) -> ChainFigures:
        return ChainFigures.of(self._latents, self._posterior.result.mcmc)

    @functools.cached_property
    def _latents(self) -> dict[str, np.ndarray]:
        """The draws of the latent sites by the finite chains."""
        samples = self._posterior.samples or {}
        latents = {n: x for n, x in samples.items() if n in self._latent}
        kept = self._posterior.finite.take(latents)
        return {n: np.asarray(x) for n, x in kept.items()}

    @functools.cached_property
    def _training(self) -> TrainingFigures:
        return TrainingFigures.of(self._posterior, self._method.optim)

    def warn(self, *, stacklevel: int) -> None:
        """One warning with all problems, from figures that need no further draws."""
        is_short = self._posterior.samples is not None and not are_long(
            self._posterior.result.mcmc
        )
        if said := self._said(are_short=is_short):
            warnings.warn(" ".join(said), stacklevel=stacklevel + 1)

    def _said(self, *, are_short: bool = False) -> list[str]:
        """All problems; for short chains, only unambiguous ones."""
        if self._posterior.samples is None:
            return list(self._training.advice())
        said = []
        finite = self._posterior.finite
        if not finite.are_all:
            said.append(f"Not finite: {finite.named()}; predictions leave them out.")
        if finite.count and getattr(self._method, "are_apart", False):
            # They are not expected to agree.
            said += advice_on_stuck(stuck_chains(self._latents), finite.count)
        elif finite.count and not are_short:
            said += self._chains.advice(self._label)
        falls = getattr(self._posterior.result, "falls", None)
        if falls is not None:
            latents = [x for n, x in self._posterior.samples.items() if n in self._latent]
            size = sum(x[0, 0].size for x in latents)
            said += advice_on_falls(falls, size)
        return said

    def diagnostics(self) -> Diagnostics:
        """All figures; k-hat and effective sample sizes are first computed here."""
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
        given = getattr(self._method, "centering", None)
        return Diagnostics(
            centering=centering_of(given, posterior),
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
        least = worst_of(effective_sizes(self._latents), np.nanargmin)
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
        """Pareto k-hat of all members, NaN if not finite; None for other methods."""
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
        """The header of a summary."""
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
