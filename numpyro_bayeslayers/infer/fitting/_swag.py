"""Normal approximations from the iterates of an optimizer (SWAG)."""

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jaxtyping import Array
from numpyro.infer import Trace_ELBO, init_to_median, init_to_sample
from numpyro.infer.elbo import ELBO

from ... import _checks
from ..rows._plates import on_all_rows
from ..training._iterates import collecting, iterates_in
from ..training._member import Drawn
from ._afterwards import AbstractAfterwards, Trained
from ._flat_sites import LOC, AutoMode, FlatSites
from ._method import Posterior, Problem, settle
from ._methods import Ensemble, Modes, run_variational

_SCALE, _DEVIATIONS, _COUNT = "auto_scale", "auto_deviations", "auto_num_iterates"

_KIND = "Modes(), the modes around which iterates are collected"
_STOPS = (
    "`early_stopping` must be left out with SWAG, which collects iterates to the end of the "
    "steps. Take fewer steps (`num_steps`), or Modes()."
)
_OPTIM = (
    "`base.optim` must be an optax optimizer such as optax.sgd(0.01), or a step size, to have "
    "its iterates collected, got {given}."
)
_FEW = (
    "`every` must leave at least two iterates, got {count} in member {member}: {steps} steps, "
    "of which the last {rest} count, and one in {every} is collected. Take more steps."
)


@dataclass(frozen=True, kw_only=True)
class SWAG:
    r"""Normal approximation of the posterior around each mode, from the optimizer's iterates.

    $$p(u \mid y) \approx N\!\left(\bar u,\;
    \tfrac{1}{2} \Sigma_\mathrm{diag} + \tfrac{1}{2 (K - 1)} D D^T\right)$$

    where $\bar u$ is the mean of the collected iterates of the unconstrained latent sites,
    $\Sigma_\mathrm{diag}$ the diagonal matrix of their variances, and the columns of $D$ are
    their last $K$ deviations from the running mean. With several modes this is MultiSWAG:
    predictions are an equally weighted mixture over modes.

    The spread of the iterates comes from the noise of minibatches, so set `batch_size`, and a
    step size at which the loss still fluctuates. If the optimizer converges, because it uses
    all rows or its step size falls to zero, the spread vanishes.

    Args:
        base: The number of modes and the optax optimizer. A number is used here as the constant
            step size of Adam.
        rank: Number of deviations $K$ that are kept, at least 2.
        start: Fraction of the steps before the first collected iterate, at least 0 and below 1.
        every: Number of steps between collected iterates, at least 1; usually one pass over the
            data.

    Raises:
        TypeError: If a number is not an integer, or `base` is not a `Modes`.
        ValueError: If a number is out of range.

    Example:
        >>> SWAG(base=Modes(num_members=4, optim=0.01), rank=10).every
        10

    References:
        Maddox, Garipov, Izmailov, Vetrov, Wilson (2019), "A simple baseline for Bayesian
        uncertainty in deep learning", NeurIPS, Algorithm 1; Wilson and Izmailov (2020),
        "Bayesian deep learning and a probabilistic perspective of generalization", NeurIPS,
        for MultiSWAG.
    """

    base: Modes = field(default_factory=lambda: Modes(num_members=1, optim=0.01))
    rank: int = 20
    start: float = 0.5
    every: int = 10

    #: The options that drawing needs besides the arrays.
    drawn_by: ClassVar[frozenset[str]] = frozenset({"base", "rank", "start", "every"})

    def __post_init__(self) -> None:
        if type(self.base) is not Modes:
            kind = type(self.base).__name__
            raise TypeError(f"`base` must be {_KIND}, got {self.base!r} ({kind}).")
        settle(self, rank=_checks.size, start=_checks.rate, every=_checks.size)
        if self.rank < 2:
            raise ValueError(f"`rank` must be at least 2, got {self.rank}.")

    @property
    def num_members(self) -> int:
        """The number of modes."""
        return self.base.num_members

    @property
    def optim(self) -> None:
        """None: the step sizes do not fall to zero, so convergence is not judged."""
        return None

    @property
    def loss(self) -> ELBO:
        """The objective."""
        return Trace_ELBO()

    def _run(self, problem: Problem) -> Posterior:
        if problem.asked.early_stopping is not None:
            raise ValueError(_STOPS)
        optim, steps = self.base.optim, problem.num_steps or 1
        if problem.found is not None or isinstance(optim, Real):
            optim = optax.adam(optim if isinstance(optim, Real) else 0.01)
        if hasattr(optim, "get_params"):
            raise ValueError(_OPTIM.format(given=type(optim).__name__))
        if problem.found is None:
            optim = collecting(optim, LOC, int(self.start * steps), self.every, self.rank)
        size = self.base.num_members
        trained = Ensemble(num_members=size, optim=optim, guide=AutoMode)
        start = init_to_median if size == 1 else init_to_sample
        return run_variational(trained, size, problem, start, _After(self))


class _After(AbstractAfterwards):
    """The moments of the iterates, and draws from the resulting normal distribution."""

    def __init__(self, method: SWAG) -> None:
        self._method = method

    def shapes(self, trained: Trained, shapes: dict[str, Any]) -> dict[str, Any]:
        loc, rank = shapes[LOC], self._method.rank
        lead, size = loc.shape
        return {
            LOC: loc,
            _SCALE: loc,
            _DEVIATIONS: jax.ShapeDtypeStruct((lead, rank, size), loc.dtype),
            _COUNT: jax.ShapeDtypeStruct((lead,), jnp.int32),
        }

    def compute(self, trained: Trained, result: Any) -> dict[str, Array]:
        found = jax.tree.map(
            np.asarray, iterates_in(result.state.optim_state)._replace(inner=())
        )
        steps = found.steps.max()
        if (found.count < 2).any():
            member = int(found.count.argmin())
            before = int(self._method.start * (trained.problem.num_steps or 1))
            raise ValueError(
                _FEW.format(
                    count=found.count[member],
                    member=member,
                    steps=steps,
                    rest=max(steps - before, 0),
                    every=self._method.every,
                )
            )
        put = jax.device_put
        return {
            LOC: put(found.mean),
            _SCALE: put(np.sqrt(found.squares / found.count[:, None])),
            _DEVIATIONS: put(found.deviations),
            _COUNT: put(found.count),
        }

    def drawn(self, trained: Trained) -> Drawn:
        def make() -> Drawn:
            member = trained.member
            sites = FlatSites(member.guide)
            draw = lambda *args, **kwargs: _draw(sites, rank)
            guide = on_all_rows(draw, num_rows, is_auto=True)
            return Drawn(member.drawn.model, guide)

        rank, num_rows = self._method.rank, trained.problem.data.num_rows
        return trained.kept(("swag", rank), make)


def _draw(sites: FlatSites, rank: int) -> None:
    """The guide."""
    param: Any = numpyro.param
    zeros = jnp.zeros(sites.count)
    loc, scale = param(LOC, zeros), param(_SCALE, zeros)
    rows = param(_DEVIATIONS, jnp.zeros((rank, sites.count)))
    # Rows without an iterate stay zero.
    count = jnp.minimum(param(_COUNT, jnp.full((), 2)), rank)
    factor = rows.T / jnp.sqrt(2.0 * jnp.asarray(count - 1, rows.dtype))
    floor = jnp.finfo(scale.dtype).tiny ** 0.5
    law = dist.LowRankMultivariateNormal(
        loc, factor, jnp.maximum(0.5 * scale**2, floor), validate_args=False
    )
    draw: Any = numpyro.sample("_auto_latent", law, infer={"is_auxiliary": True})
    sites.emit(draw)
