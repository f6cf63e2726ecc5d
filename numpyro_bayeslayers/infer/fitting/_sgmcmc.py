"""Stochastic gradient MCMC from modes."""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

from ... import _checks
from .._stochastic_gradient import Course, StochasticGradient
from ..rows._arguments import take_apart
from ..rows._rows import scaled_sites
from ._method import Posterior, Problem, no_guide, settle
from ._methods import MCMC, Modes
from ._sampled_ensemble import run_from_modes

#: Kernels by name, and whether they have a momentum.
KERNELS = {"sgld": False, "sghmc": True}


@dataclass(frozen=True, kw_only=True)
class SGMCMC(Modes):
    r"""Stochastic gradient MCMC: chains on minibatches, each started at a mode.

    Let N be the number of rows of the fit, $\epsilon_k = $ `step_size` $/ N$, and $g$ the
    gradient of the log density, estimated from a minibatch of the fit's `batch_size` rows.
    ``"sgld"`` is Langevin dynamics, and ``"sghmc"`` adds a momentum with friction $\alpha$:

    $$\theta \leftarrow \theta + \epsilon_k g + \sqrt{2 \epsilon_k}\, \xi \quad \text{or} \quad
    v \leftarrow (1 - \alpha) v + \epsilon_k g + \sqrt{2 \alpha \epsilon_k}\, \xi, \;
    \theta \leftarrow \theta + v$$

    in unconstrained coordinates. With `cycles`, the step size decays to zero along a cosine
    within each cycle: large steps without noise explore, and small steps with noise sample.
    There is no accept-reject step, so discretization and minibatch noise inflate the variance.
    If each row has information $h$ on a coordinate, the variance under ``"sgld"`` is inflated
    by the factor $1 / (1 - \epsilon N h / 2)$ with full batches, and by a further factor $1 +
    \epsilon N^2 h / (2 n)$ with minibatches of n rows: choose a `step_size` well below $2 n /
    (N h)$. The modes are trained as in `Modes`; the chains use all rows of the fit, in
    minibatches drawn with replacement.

    Args:
        num_members: Number of modes, and of chains, at least 1.
        optim: The optimizer of the modes, as in `VI`.
        kernel: ``"sgld"`` or ``"sghmc"``.
        step_size: The step size in units of one row: a positive number, or a schedule, a
            function from the step (from 0) to a positive number.
        cycles: Number of cosine cycles of the step size; None for the step sizes of
            `step_size`.
        num_samples: Draws per chain, at least 1 and a multiple of `cycles`.
        num_steps: Number of steps per draw, at least 1.
        exploration: The fraction of steps before the first draw of each cycle, or of the chain
            without cycles, at least 0 and below 1.
        friction: The fraction $\alpha$ of the momentum lost per step, above 0 and below 1.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range, the kernel is unknown, or `num_samples` is not
            a multiple of `cycles`.

    Example:
        >>> SGMCMC(kernel="sghmc", step_size=0.01, cycles=5).num_samples
        50

    References:
        Welling and Teh (2011), "Bayesian learning via stochastic gradient Langevin
        dynamics", ICML, equation 4; Chen, Fox, Guestrin (2014), "Stochastic gradient
        Hamiltonian Monte Carlo", ICML, equation 15; Zhang, Li, Zhang, Chen, Wilson (2020),
        "Cyclical stochastic gradient MCMC for Bayesian deep learning", ICLR, equation 1 and
        algorithm 1.
    """

    #: The chains are in different modes, so disagreement is expected.
    are_apart: ClassVar[bool] = True
    #: The number of draws must fit the cycles in a loaded fit, too.
    drawn_by: ClassVar[frozenset[str]] = frozenset({"cycles"})

    kernel: str = "sgld"
    step_size: Any = 0.01
    cycles: int | None = 5
    num_samples: int = 50
    num_steps: int = 20
    exploration: float = 0.5
    friction: float = 0.1

    def __post_init__(self) -> None:
        Modes.__post_init__(self)
        settle(self, kernel=_checks.choice(*KERNELS), step_size=_checked_step)
        settle(self, cycles=_checks.optional(_checks.size), num_samples=_checks.size)
        settle(self, num_steps=_checks.size, exploration=_checks.rate)
        settle(self, friction=_checks.share)
        if self.num_samples % (self.cycles or 1):
            raise ValueError(
                f"`num_samples` must be a multiple of `cycles`, {self.cycles}, got "
                f"{self.num_samples}."
            )

    def _run(self, problem: Problem) -> Posterior:
        kernel = functools.partial(StochasticGradient, course=self._course(problem))
        chains = MCMC(
            num_warmup=0,
            num_samples=self.num_samples,
            num_chains=self.num_members,
            kernel=kernel,
            centering=None,
        )
        return run_from_modes(self, chains, problem)

    def _course(self, problem: Problem) -> Course:
        size, num_rows = problem.batch_size, problem.data.num_rows
        names: frozenset[str] = frozenset()
        if size is not None and problem.found is None:
            parts = take_apart((), problem.data.rows)
            model = problem.bound(problem.model)
            names = scaled_sites(model, no_guide, parts, size, num_rows)
        draws = self.num_samples // (self.cycles or 1)
        share = self.exploration / (1.0 - self.exploration)
        return Course(
            num_rows,
            size,
            names,
            self.step_size,
            self.friction if KERNELS[self.kernel] else None,
            self.cycles,
            round(share * draws * self.num_steps),
            self.num_steps,
            draws,
        )


def _checked_step(name: str, given: Any) -> Any:
    """A schedule, or a step size."""
    return given if callable(given) else float(_checks.positive(name, given))
