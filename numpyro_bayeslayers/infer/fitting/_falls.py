"""The decrease of the log density between each chain's starting mode and its end."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from numpyro.handlers import seed
from numpyro.infer.util import log_density

from ..rows._plates import on_all_rows
from ._method import Problem
from ._programs import PROGRAMS, program_key

#: A decrease is large if it exceeds this multiple of that of a normal posterior plus these
#: nats.
TIMES, NATS = 2.0, 10.0


def falls_of(
    problem: Problem, starts: dict[str, Any], samples: dict[str, Any]
) -> Float[np.ndarray, " chains"]:
    """The log density at each start minus that at the chain's last draw, for all rows.

    Args:
        problem: The problem that was fitted.
        starts: Values by site name, (chains, *site).
        samples: Draws by site name, (chains, draws, *site).
    """
    model = on_all_rows(problem.bound(problem.model), problem.data.num_rows)

    def make() -> Callable[..., Any]:
        def log_joint(values: dict[str, Any], rows: dict[str, Any]) -> Any:
            return log_density(seed(model, jax.random.key(0)), (), rows, values)[0]

        # One chain at a time, since all chains on all rows may not fit in memory.
        each = lambda values, rows: jax.lax.map(lambda v: log_joint(v, rows), values)
        return jax.jit(each)

    key = program_key(problem.data, "falls", model)
    with PROGRAMS.take(key, make) as log_joints:
        ends = {name: samples[name][:, -1] for name in starts}
        both = [log_joints(values, problem.data.rows) for values in (starts, ends)]
    return np.subtract(*(np.asarray(x, float) for x in both))


def advice_on_falls(falls: Float[np.ndarray, " chains"], size: int) -> Iterator[str]:
    """Advice about chains that ended far below their modes.

    The log density of a normal posterior of dimension `size` is on average size / 2 below its
    mode, with standard deviation sqrt(size / 2). A decrease is large if it exceeds twice the
    average plus 10 nats.
    """
    limit = TIMES * size / 2 + NATS
    bad = np.flatnonzero(falls > limit)  # not NaN, which `Finite` reports
    if len(bad):
        yield (
            f"The log density of {len(bad)} of {len(falls)} chains, "
            f"{', '.join(map(str, bad))}, ends up to {np.max(falls[bad]):.3g} nats below that "
            f"of their modes, compared with {size / 2:.3g} for a normal posterior: steps are "
            "too large, or the modes have little probability mass. Use a smaller "
            "`energy_variance` or more warm-up, and compare with Modes() on held-out rows."
        )
