"""The methods of `fit`, as objects that hold their options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from numpyro.infer import HMC, NUTS, Trace_ELBO, init_to_median, init_to_sample
from numpyro.infer.autoguide import AutoDelta, AutoNormal
from numpyro.infer.elbo import ELBO

from ... import _checks
from ..._typing import Model, PRNGKey
from ..ensembles._centering import (
    CENTERING,
    Coordinates,
    coordinates_of,
    is_tried,
    own_sites,
    with_centering,
)
from ..ensembles._log_weights import log_weights_of
from ..ensembles._mcmc import EnsembleMCMC, EnsembleMCMCResult
from ..ensembles._predictive import Predictor
from ..ensembles._rows_of_fit import Told
from ..ensembles._svi import EnsembleSVI
from ..ensembles._svi_run import known_values
from ..rows._arguments import take_apart
from ..rows._plates import on_all_rows
from ..training._finite import Finite, lowest
from ..training._init import values_by_site
from ..training._member import Drawn
from ..training._repulsion import Repulsion
from ._afterwards import AbstractAfterwards, Trained
from ._coordinates import check_guide_takes, checked_coordinates, in_coordinates
from ._look import look_at_fit, medians
from ._method import (
    EVIDENCE,
    Posterior,
    Problem,
    checked_guide,
    checked_optim,
    drawing,
    guide_of,
    no_guide,
    optimizer,
    settle,
)
from ._programs import PROGRAMS, program_key


@dataclass(frozen=True, kw_only=True)
class VI:
    """Variational inference: an approximation of the posterior, found by optimization.

    This runs `EnsembleSVI` with one member.

    Args:
        guide: The approximation: an autoguide class, which starts at the median of a few prior
            draws, or its name, ``"delta"``, ``"normal"``, ``"low_rank"`` or ``"full_rank"``;
            `functools.partial` of a class with options; an autoguide instance; or a guide
            function with the same arguments as the model.
        optim: A NumPyro or optax optimizer; or a number, the initial step size of Adam with
            cosine decay to zero over the steps.
        loss: The objective, any ELBO of NumPyro.
        centering: The parameterization of location-scale sites, see `handlers.recenter`: None
            to keep the model as written; a dictionary of numbers from 0 (non-centered) to 1
            (centered) by site; or ``"auto"``, which maximizes the ELBO over the numbers of
            hierarchical sites, one for each entry (one for each site if there are minibatches),
            starting at 0.5. The draws are always of the model's own sites, and
            `Fit.diagnostics` reports the numbers. Autoguides other than those of points take it.

    Raises:
        TypeError: If the guide is not callable, or `loss` is not an ELBO.
        ValueError: If a step size is not positive, the name of the guide is unknown, a number
            of `centering` is out of range, or the guide does not take it.

    Example:
        >>> VI(guide="full_rank", optim=0.05).optim
        0.05

    References:
        Hoffman, Blei, Wang, Paisley (2013), "Stochastic variational inference", JMLR 14;
        Kucukelbir et al. (2017), "Automatic differentiation variational inference", JMLR
        18; Gorinova, Moore, Hoffman (2020), "Automatic reparameterisation of probabilistic
        programs", ICML, section 4.2, for the learned coordinates.
    """

    guide: Any = AutoNormal
    optim: Any = 0.02
    loss: ELBO = field(default_factory=Trace_ELBO)
    centering: Any = None

    def __post_init__(self) -> None:
        _checks.instance("loss", self.loss, ELBO, "an ELBO of numpyro.infer")
        settle(self, guide=checked_guide, optim=checked_optim)
        settle(self, centering=checked_coordinates)
        check_guide_takes(self.centering, self.guide)

    def _run(self, problem: Problem) -> Posterior:
        return run_variational(self, 1, problem)


@dataclass(frozen=True, kw_only=True)
class Ensemble(VI):
    """An ensemble of variational approximations from different starts, in one program.

    Each member is a `VI`. Autoguide classes start at a draw from the prior; other guides start
    as they are defined. The ensemble is an equally weighted mixture of the approximations. With
    ``guide="delta"`` the members are modes: a deep ensemble.

    Args:
        num_members: Number of members, at least 1.
        guide: The approximation of each member, as in `VI` except for the start.
        optim: The optimizer, as in `VI`.
        loss: The objective, as in `VI`.
        centering: The parameterization of location-scale sites, as in `VI`.
        repulsion: The repulsion between members, from `repulsive`; None for independent
            members.

    Raises:
        TypeError: As `VI`, or if `num_members` is not an integer.
        ValueError: As `VI`, or if `num_members` is below 1.

    Example:
        >>> Ensemble(num_members=4).num_members
        4

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive
        uncertainty estimation using deep ensembles", NeurIPS.
    """

    num_members: int = 8
    repulsion: Repulsion | None = None

    def __post_init__(self) -> None:
        VI.__post_init__(self)
        settle(self, num_members=_checks.size)
        if self.repulsion is not None:
            what = "what `repulsive` gives"
            _checks.instance("repulsion", self.repulsion, Repulsion, what)

    def _run(self, problem: Problem) -> Posterior:
        # Medians of draws are so similar that all members would converge to the same mode.
        return run_variational(self, self.num_members, problem, init_to_sample)


@dataclass(frozen=True, kw_only=True)
class Modes(Ensemble):
    r"""Modes of the posterior from different starts: a deep ensemble.

    $$\hat\theta_e = \arg\max_\theta\; \log p(y \mid x, \theta) + \log p(\theta)$$

    Each member starts at a draw from the prior. Predictions are an equally weighted mixture of
    the members. Each member is a point estimate, so the spread between members is the only
    parameter uncertainty. Networks with more than a few weights eventually overfit: hold out
    rows and keep the parameters that predict them best, with ``fit(validation=0.1,
    early_stopping=EarlyStopping(on="validation"))``.

    Args:
        num_members: Number of members, at least 1.
        optim: The optimizer, as in `VI`; a number is the initial step size of Adam.
        repulsion: The repulsion between members, from `repulsive`; None for independent
            members.

    Raises:
        TypeError: If `num_members` is not an integer.
        ValueError: If `num_members` is below 1, or a step size is not positive.

    Example:
        >>> Modes(num_members=4, optim=0.01).num_members
        4

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive
        uncertainty estimation using deep ensembles", NeurIPS, Algorithm 1.
    """

    guide: Any = field(default=AutoDelta, init=False, repr=False)
    loss: ELBO = field(default_factory=Trace_ELBO, init=False, repr=False, compare=False)
    centering: Any = field(default=None, init=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class MCMC:
    """Markov chain Monte Carlo: draws from the posterior itself, given all rows.

    The chains run in one compiled program, `EnsembleMCMC`. A plate with subsampling uses all
    rows.

    Args:
        num_warmup: Number of warm-up steps, at least 0.
        num_samples: Draws per chain, at least 1.
        num_chains: The number of chains, at least 1.
        kernel: A kernel class of NumPyro, or a function from a model to a kernel.
        kernel_options: Further arguments of the kernel, such as ``{"target_accept_prob":
            0.95}``.
        centering: The parameterization of location-scale sites, see `handlers.recenter`:
            ``"auto"``, the fraction of the information on each entry that comes from the data,
            estimated in the first 60 steps of the warm-up, from which the first mass matrix
            is estimated too; a dictionary of numbers from 0
            (non-centered) to 1 (centered) by site; or None to keep the model as written. The
            draws are always of the model's own sites, and `Fit.diagnostics` reports the
            numbers. ``"auto"`` applies to hierarchical sites of models without discrete latent
            sites, under HMC and NUTS with at least 100 warm-up steps; otherwise it has no
            effect.

    Raises:
        TypeError: If a number is not an integer, or `kernel` is not callable.
        ValueError: If a number is out of range.

    Example:
        >>> MCMC(num_chains=2, kernel_options={"max_tree_depth": 8}).num_samples
        1000

    References:
        Hoffman and Gelman (2014), "The no-U-turn sampler", JMLR 15, for the usual kernel;
        Papaspiliopoulos, Roberts, Sköld (2007), "A general framework for the parametrization
        of hierarchical models", Statistical Science 22, section 2, for the coordinates.
    """

    num_warmup: int = 500
    num_samples: int = 1000
    num_chains: int = 4
    kernel: Callable[..., Any] = NUTS
    kernel_options: Mapping[str, Any] = field(default_factory=dict)
    centering: Any = "auto"

    def __post_init__(self) -> None:
        settle(self, num_warmup=_checks.count, num_samples=_checks.size)
        settle(self, num_chains=_checks.size, kernel=_checks.function)
        settle(self, centering=checked_coordinates)

    def _run(self, problem: Problem) -> Posterior:
        model, num_rows = problem.bound(problem.model), problem.data.num_rows
        model = on_all_rows(model, num_rows)
        if problem.found is None:
            result, drawn, predictor = self._run_chains(problem, model)
        else:
            drawn, predictor = Drawn(model, no_guide), Predictor()
            result = problem.found(problem, model)
        finite, flat = _latents(problem, result, self.num_chains)
        count = finite.count * self.num_samples

        def draw(
            key: PRNGKey,
            rows: Any,
            num_samples: int,
            block: Any,
            sites: Any,
            told: Told,
            statistics: Any = None,
        ) -> Any:
            # Each draw of the chains is a member that gives one prediction.
            some = np.linspace(0, count - 1, min(num_samples, count)).round().astype(int)
            chosen = {name: x[some] for name, x in flat.items()}
            parts = take_apart((), rows)
            return predictor(drawn, chosen, key, parts, 1, block, sites, statistics, told)

        return Posterior(draw, {}, result.samples, result, finite)

    def _start(self, problem: Problem, model: Model) -> dict[str, Any] | None:
        parts = take_apart((), problem.data.rows)
        return values_by_site(model, problem.asked.init, parts, self.num_chains)

    def _run_chains(
        self, problem: Problem, model: Model
    ) -> tuple[EnsembleMCMCResult, Drawn, Predictor]:
        numbers = self.num_warmup, self.num_samples, self.num_chains

        rows, centering = problem.data.rows, self.centering

        def chains_of(model: Model) -> EnsembleMCMC:
            return EnsembleMCMC(self.kernel(model, **self.kernel_options), *numbers)

        def make() -> tuple[EnsembleMCMC, Drawn, Predictor, Coordinates | None]:
            chains, found = chains_of(model), None
            if isinstance(centering, dict) or (centering and is_tried(chains)):
                found = Coordinates(model, rows)
                if isinstance(centering, dict) or found.names:
                    chains = chains_of(with_centering(model))
                else:
                    found = None
            return chains, Drawn(model, no_guide), Predictor(), found

        what = (
            jax.tree.map(np.shape, centering) if isinstance(centering, dict) else centering
        )
        of = model, self.kernel, self.kernel_options, numbers, what
        with PROGRAMS.take(program_key(problem.data, *of), make) as made:
            chains, drawn, predictor, coordinates = made
            start = self._start(problem, model)
            fields = _NOTED if isinstance(chains.kernel, HMC) else ()
            found, begun, given = None, None, rows
            if coordinates is not None:
                how = problem.key, start, rows, fields
                found, start, begun = coordinates_of(centering, chains, coordinates, *how)
                given = {**rows, CENTERING: found}
            options = start, problem.progress_bar, fields
            result = chains._run(problem.key, (), given, *options, begun)
        result = result._replace(samples=own_sites(result.samples), centering=found)
        _, flat = _latents(problem, result, self.num_chains)
        look_at_fit(chains.look, drawn, medians(flat), take_apart((), rows))
        return result, drawn, predictor


# The statistics of each draw that the diagnostics need besides divergences.
_NOTED = ("energy", "num_steps")


def run_variational(
    method: VI,
    num_members: int,
    problem: Problem,
    start: Callable[..., Any] = init_to_median,
    after: AbstractAfterwards | None = None,
) -> Posterior:
    """Fit a guide to each member from its own start, then run the steps in `after`."""
    model = in_coordinates(method.centering, problem, problem.bound(problem.model))
    guide = guide_of(method.guide, model, problem, start)
    optim = optimizer(method.optim)
    repulsion = getattr(method, "repulsion", None)

    def make() -> EnsembleSVI:
        of = model, guide, optim, method.loss, num_members
        made = EnsembleSVI(*of, repulsion=repulsion)
        made._is_quiet = True  # `fit` itself reports how it ended
        return made

    of = model, guide, optim, method.loss, num_members, repulsion
    key = program_key(problem.data, *of)
    parts = take_apart((), problem.data.rows)
    with PROGRAMS.take(key, make) as fit:
        if problem.found is None:
            result = fit.run(
                problem.key,
                problem.num_steps or 1,
                batch_size=problem.batch_size,
                progress_bar=problem.progress_bar,
                init=problem.asked.init,
                early_stopping=problem.asked.early_stopping,
                validation=problem.asked.held,
                checkpoint=problem.asked.checkpoint,
                callbacks=problem.asked.callbacks,
                **problem.data.rows,
            )
        else:
            shapes = fit._programs.set_up(parts, problem.batch_size)
        member = fit._programs.latest.member  # later fits may start other chains
        trained = Trained(fit, member, parts, problem)
        if problem.found is not None:
            more = {} if after is None else after.shapes(trained, shapes)
            result = problem.found(shapes | more)
        elif after is not None:
            more = after.compute(trained, result)
            result = result._replace(params=result.params | more)

    # A member with unknown evidence is not excluded.
    needed = {name: x for name, x in result.params.items() if name != EVIDENCE}
    finite, values = Finite.of(needed, num_members), known_values(result)
    kept = finite.take(values)
    if problem.found is None and fit._programs.look.is_open:
        best = lowest(result.losses, finite)
        params = jax.tree.map(lambda x: x[best], values)
        look_at_fit(fit._programs.look, member.drawn, params, parts, guide=member.guide)

    drawn = member.drawn if after is None else after.drawn(trained)
    draw = drawing(fit._predictor, drawn, kept, finite.count)

    def log_weights(key: PRNGKey, num_samples: int) -> Any:
        compiled = fit._predictor._compiled
        return log_weights_of(drawn, kept, key, parts, num_samples, method.loss, compiled)

    has_all_steps = result.losses.shape[1] == problem.num_steps
    is_cut = problem.asked.early_stopping is not None or not has_all_steps
    return Posterior(draw, result.params, None, result, finite, log_weights, is_cut)


def _latents(
    problem: Problem, result: EnsembleMCMCResult, num_chains: int
) -> tuple[Finite, dict[str, Any]]:
    """The concatenated draws of the finite chains, which predictions need."""
    latents = {n: x for n, x in result.samples.items() if n in problem.sites.latent}
    finite = Finite.of(latents, num_chains, "chain")
    kept = finite.take(latents)
    return finite, {n: x.reshape(-1, *x.shape[2:]) for n, x in kept.items()}
