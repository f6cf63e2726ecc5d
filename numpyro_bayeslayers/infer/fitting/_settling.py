r"""A convergence test of the loss under a schedule of step sizes.

If the step size falls to zero, the last losses are flat whether or not the fit has converged.
The informative quantity is the decrease of the loss over the distance travelled, $s_t =
\sum_{i<t} c_i$, where $c_t$ is the step size relative to the first one. Smaller steps also
fluctuate less about the minimum, which lowers the loss of a converged fit. Hence, over the
second half of the distance, the model is

$$L_t = a + b\, s_t + d\, c_t + \text{noise}$$

where $b$ is the slope per step of the initial size ($d$ is omitted if the step size is
constant). Its standard error comes from block means, whose residuals include correlation and
curvature.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Shorter runs are not judged.
SHORTEST = 300
BLOCKS = 24
# The threshold in standard errors: without a trend it is exceeded once in 30,000 runs.
SURE = 5.0

StepSizes = Callable[[Float[np.ndarray, " t"]], Float[np.ndarray, " t"]]


class Settling(NamedTuple):
    """The trend of a loss at its end.

    Args:
        slope: $b$, in nats per step of the initial size.
        error: Its standard error.
        left: The approximate further decrease in as many steps again, extrapolated
            geometrically from the decreases in the last two quarters of the distance.
        swing: The standard deviation of the last losses.
    """

    slope: float
    error: float
    left: float
    swing: float

    @property
    def is_falling(self) -> bool:
        """Whether the loss is still falling, significantly and by a relevant amount.

        Relevant means by one nat, and by half the standard deviation of single losses.
        """
        is_sure = self.slope < -SURE * self.error
        return bool(is_sure and self.left > max(1.0, 0.5 * self.swing))


def settling(
    losses: Float[np.ndarray, " t"], step_sizes: StepSizes | None = None
) -> Settling | None:
    """The trend of one member's losses; None if there are too few, or some are not finite.

    Args:
        losses: The loss at each step.
        step_sizes: A function from the fraction of completed steps, 0 to 1, to the step size
            relative to the first one; None if it is constant.
    """
    count = len(losses)
    if count < SHORTEST:
        return None
    losses = losses.astype(float)
    done = (np.arange(count) + 0.5) / count
    sizes = np.ones(count) if step_sizes is None else step_sizes(done)
    way = np.cumsum(sizes)
    start, third = np.searchsorted(way, [0.5 * way[-1], 0.75 * way[-1]])
    if not np.isfinite(losses[start:]).all():
        return None
    beside = None if step_sizes is None else sizes
    slope, error = _slope(losses, way, slice(start, None), BLOCKS, beside)
    before, _ = _slope(losses, way, slice(start, third), BLOCKS // 2)
    after, _ = _slope(losses, way, slice(third, None), BLOCKS // 2)
    ratio = min(after / before, 1.0) if before < 0 else 1.0
    left = max(-after, 0.0) * way[-1] / 4 * sum(ratio**i for i in range(1, 5))
    return Settling(slope, error, float(left), float(losses[-(count // 10) :].std()))


def cosine(done: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """The step sizes of `optax.cosine_decay_schedule`, relative to the first one."""
    return 0.5 * (1 + np.cos(np.pi * done))


def _slope(
    losses: Float[np.ndarray, " t"],
    way: Float[np.ndarray, " t"],
    at: slice,
    num_blocks: int,
    beside: Float[np.ndarray, " t"] | None = None,
) -> tuple[float, float]:
    """The slope of block means, adjusted for a further regressor, and its standard error."""
    means = lambda x: np.array([part.mean() for part in np.array_split(x[at], num_blocks)])
    columns = [np.ones(num_blocks), means(way) / way[-1]]
    if beside is not None:
        columns.append(means(beside))
    design, values = np.stack(columns, 1), means(losses)
    found, *_ = np.linalg.lstsq(design, values, rcond=None)
    residuals = values - design @ found
    variance = residuals @ residuals / (num_blocks - len(columns))
    inverse = np.linalg.inv(design.T @ design)
    return float(found[1] / way[-1]), float(np.sqrt(variance * inverse[1, 1]) / way[-1])
