"""How far below its mode each chain of an ensemble ended."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from numpyro.handlers import seed
from numpyro.infer.util import log_density

from ..training._plates import on_all_rows
from ._method import Problem
from ._programs import PROGRAMS, program_key

#: A fall is large from so many times what it is of a normal posterior, and so many nats.
TIMES, NATS = 2.0, 10.0


def falls_of(
    problem: Problem, starts: dict[str, Any], samples: dict[str, Any]
) -> Float[np.ndarray, " chains"]:
    """The log density at each start less that at the chain's last draw, of all rows.

    Args:
        problem: What was fitted.
        starts: Values by site, (chains, *site).
        samples: Draws by site, (chains, draws, *site).
    """
    model = on_all_rows(problem.bound(problem.model), problem.data.num_rows)

    def make() -> Callable[..., Any]:
        def log_joint(values: dict[str, Any], rows: dict[str, Any]) -> Any:
            return log_density(seed(model, jax.random.key(0)), (), rows, values)[0]

        # One after another: all chains on all rows at once may not fit.
        each = lambda values, rows: jax.lax.map(lambda v: log_joint(v, rows), values)
        return jax.jit(each)

    key = program_key(problem.data, "falls", model)
    with PROGRAMS.take(key, make) as log_joints:
        ends = {name: samples[name][:, -1] for name in starts}
        both = [log_joints(values, problem.data.rows) for values in (starts, ends)]
    return np.subtract(*(np.asarray(x, float) for x in both))


def advice_on_falls(falls: Float[np.ndarray, " chains"], size: int) -> Iterator[str]:
    """What to do about chains that fell far.

    The log density of a normal posterior of `size` numbers is size / 2 below its mode, on
    average, with a deviation of the root of that: a fall is large if it is twice as far and
    10 nats more.
    """
    limit = TIMES * size / 2 + NATS
    bad = np.flatnonzero(falls > limit)  # not NaN, which `Finite` names
    if len(bad):
        yield (
            f"The log density of {len(bad)} of {len(falls)} chains, {', '.join(map(str, bad))}, "
            f"ends up to {np.max(falls[bad]):.3g} nats below that of their modes, where a "
            f"normal posterior has {size / 2:.3g}: steps are too large, or the modes are of "
            "little mass. Take a smaller `energy_variance` or more warm-up, and compare with "
            "Modes() on held-out rows."
        )
