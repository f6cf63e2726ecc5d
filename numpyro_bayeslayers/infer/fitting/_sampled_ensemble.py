"""MCMC chains from modes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import init_to_sample

from ... import _checks
from .._mclmc import MCLMC
from ._asked import Asked
from ._falls import falls_of
from ._method import Posterior, Problem, settle
from ._methods import MCMC, Modes, run_variational


@dataclass(frozen=True, kw_only=True)
class SampledEnsemble(Modes):
    """A sampled ensemble: one MCMC chain from each of several modes.

    Each chain stays near its mode; together they cover more of a multimodal posterior, such as
    that of a network, than the same number of draws from one chain. The modes are trained as in
    `Modes`, with the steps, minibatches, held-out rows and early stopping of the call of `fit`;
    the chains then use all rows of the fit. Predictions are an equally weighted mixture of all
    draws. The chains are not expected to agree, so R-hat is not checked.

    Args:
        num_members: Number of modes, and of chains, at least 1.
        optim: The optimizer of the modes, as in `VI`.
        num_warmup: Number of warm-up draws per chain, at least 0. `MCLMC` needs about 2,000
            steps of the integrator, 10 per draw.
        num_samples: Draws per chain, at least 1.
        kernel: A kernel class of NumPyro, or a function from a model to a kernel. `MCLMC` needs
            blackjax; NUTS does not.
        kernel_options: Further arguments of the kernel.

    Raises:
        TypeError: If a number is not an integer, or `kernel` is not callable.
        ValueError: If a number is out of range.

    Example:
        >>> SampledEnsemble(num_members=4, num_samples=25).num_samples
        25

    References:
        Sommer, Robnik, Nozadze, Seljak, Rügamer (2025), "Microcanonical Langevin ensembles:
        advancing the sampling of Bayesian neural networks", ICLR.
    """

    #: The chains are in different modes, so disagreement is expected.
    are_apart: ClassVar[bool] = True

    num_warmup: int = 200
    num_samples: int = 50
    kernel: Callable[..., Any] = MCLMC
    kernel_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Modes.__post_init__(self)
        settle(self, num_warmup=_checks.count, num_samples=_checks.size)
        settle(self, kernel=_checks.function)

    def _run(self, problem: Problem) -> Posterior:
        chains = MCMC(
            num_warmup=self.num_warmup,
            num_samples=self.num_samples,
            num_chains=self.num_members,
            kernel=self.kernel,
            kernel_options=self.kernel_options,
            centering=None,
        )
        return run_from_modes(self, chains, problem, is_fall_told=True)


def run_from_modes(
    method: Modes, chains: MCMC, problem: Problem, *, is_fall_told: bool = False
) -> Posterior:
    """Find the modes of `method`, and run a chain from each.

    Args:
        method: How the modes are found.
        chains: The chains, as many as modes.
        problem: What is fitted.
        is_fall_told: Whether to compare the log densities of starts and ends, on all rows.
    """
    if problem.found is not None:
        return chains._run(problem)
    modes = run_variational(method, method.num_members, problem, init_to_sample)
    key = jax.random.fold_in(problem.key, 1)
    starts = _starts(modes)
    found = chains._run(problem._replace(asked=Asked(init=starts), key=key))
    if not is_fall_told or found.samples is None:
        return found
    falls = falls_of(problem, starts, found.samples)
    return found._replace(result=found.result._replace(falls=falls))


def _starts(modes: Posterior) -> dict[str, Any]:
    """The modes by site; those that are not finite are replaced by the others, in turn."""
    good = np.flatnonzero(modes.finite.which)
    if not len(good):
        raise ValueError(
            "No mode is finite, so that no chain can start: take a smaller step size, "
            "`optim=0.001`, or scale inputs and outcomes to order one."
        )
    size = len(modes.finite.which)
    which = np.where(modes.finite.which, np.arange(size), np.resize(good, size))
    return {
        name.removesuffix("_auto_loc"): jnp.asarray(value)[which]
        for name, value in modes.params.items()
        if name.endswith("_auto_loc")
    }
