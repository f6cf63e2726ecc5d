r"""Whether a loss has stopped to fall, where its steps become smaller by a plan.

The last losses of a fit whose step size falls to zero are flat whatever the fit: nothing moves
any more. What tells is how the loss falls with the way that was gone, $s_t = \sum_{i<t} c_i$,
where $c_t$ is the step size beside the first one. Smaller steps also swing less about the
minimum, which lowers the loss of a fit that has arrived; so over the second half of the way

$$L_t = a + b\, s_t + d\, c_t + \text{noise}$$

and $b$ is the slope of steps of the first size (without $d$ where the step size is constant). Its
standard error is that of block means, whose residuals hold correlation and curvature as well.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Losses of fewer steps say nothing.
SHORTEST = 300
BLOCKS = 24
# How many standard errors make a fall: of blocks without trend one in 30,000 falls so much.
SURE = 5.0

StepSizes = Callable[[Float[np.ndarray, " t"]], Float[np.ndarray, " t"]]


class Settling(NamedTuple):
    """How a loss ended.

    Args:
        slope: $b$, in nats a step of the first size.
        error: Its standard error.
        left: How much further the loss would fall in as many steps again, about: what it
            fell by in the last quarter of the way, less in each further quarter as it was
            less in the last than in the one before.
        swing: The standard deviation of the last losses.
    """

    slope: float
    error: float
    left: float
    swing: float

    @property
    def is_falling(self) -> bool:
        """Whether the loss falls, beyond doubt, by what matters.

        That is by one nat, and by half of what single losses swing by.
        """
        is_sure = self.slope < -SURE * self.error
        return bool(is_sure and self.left > max(1.0, 0.5 * self.swing))


def settling(
    losses: Float[np.ndarray, " t"], step_sizes: StepSizes | None = None
) -> Settling | None:
    """How the losses of one member ended; None if there are few, or some are not finite.

    Args:
        losses: The loss of each step.
        step_sizes: From the share of the steps that are done, 0 to 1, to the step size beside
            the first one; None if it is constant.
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
    """The step sizes of `optax.cosine_decay_schedule`, beside the first one."""
    return 0.5 * (1 + np.cos(np.pi * done))


def _slope(
    losses: Float[np.ndarray, " t"],
    way: Float[np.ndarray, " t"],
    at: slice,
    num_blocks: int,
    beside: Float[np.ndarray, " t"] | None = None,
) -> tuple[float, float]:
    """The slope of block means over the way, beside a further regressor, and its error."""
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
