"""Convergence figures of an optimization."""

from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..ensembles._functions import EnsembleResult
from ..training._finite import MEND, Finite
from ._method import Posterior
from ._settling import Settling, cosine, settling


class TrainingFigures(NamedTuple):
    """Convergence figures of the members.

    Args:
        finite: The members that are finite.
        lost: Finite members whose last loss is not finite.
        first: The first step at which a loss was not finite; None if there is none.
        settlings: The trend of each finite member's loss at the end; empty if not judged.
        num_steps: The number of steps.
    """

    finite: Finite
    lost: Finite
    first: int | None
    settlings: dict[int, Settling]
    num_steps: int

    @classmethod
    def of(cls, posterior: Posterior, optim: Any) -> "TrainingFigures":
        """The figures of a training with `optim`; a number means cosine decay."""
        losses = np.asarray(posterior.result.losses)
        bad = ~np.isfinite(losses).all(0)
        sizes = cosine if isinstance(optim, Real) else None
        settlings = {}
        are_losses = isinstance(posterior.result, EnsembleResult)  # or norms of forces
        are_finite = posterior.finite.which if are_losses else np.ones(1, bool)
        if are_losses and not posterior.is_cut_short:
            for e in np.flatnonzero(are_finite):
                found = settling(losses[e], sizes)
                if found is not None:
                    settlings[int(e)] = found
        first = int(bad.argmax()) if bad.any() else None
        lost = Finite(np.isfinite(losses[:, -1]) | ~are_finite)
        return cls(posterior.finite, lost, first, settlings, losses.shape[1])

    def slopes(self) -> tuple[Float[np.ndarray, " e"], Float[np.ndarray, " e"]]:
        """The slope of each member's loss and its standard error; NaN where unknown."""
        nothing = (np.nan, np.nan)
        known = [self.settlings.get(e, nothing)[:2] for e in range(len(self.finite.which))]
        slope, error = np.array(known).T
        return slope, error

    def advice(self) -> Iterator[str]:
        """Advice, with the figures that it is based on."""
        if not self.finite.are_all:
            since = "" if self.first is None else f", the first from step {self.first} on"
            yield (
                f"Not finite: {self.finite.named()}{since}; predictions leave them out. {MEND}"
            )
        if not self.lost.are_all:
            yield (
                f"The last loss is not finite, but all parameters are: {self.lost.named()}, the "
                f"first from step {self.first} on. The data have no density there, or it "
                f"overflows. {MEND}"
            )
        falling = {e: found for e, found in self.settlings.items() if found.is_falling}
        if falling:
            worst = max(falling, key=lambda e: falling[e].left)
            count, found = len(self.finite.which), falling[worst]
            whose = "The loss" if count == 1 else f"The loss of {len(falling)} of {count}"
            whose += "" if count == 1 else f" {self.finite.noun}s"
            yield (
                f"{whose} still fell at the end, by {-found.slope:.2g} ± {found.error:.1g} "
                f"nats a step of full size, so that as many steps again would take about "
                f"{found.left:.2g} nats off. Take more steps (`num_steps`, now "
                f"{self.num_steps}), or center the inputs and scale them to order one."
            )
