r"""The warm-up of `MCLMC`, one integrator step at a time.

The variance of the energy change in a step of size $\epsilon$ grows like $\epsilon^6$, so each
step gives an estimate of the step size with the target variance. The first part of the warm-up
tunes the step size, the second also estimates the scales of the coordinates, and the third
tunes the step size in scaled coordinates. The last part estimates the autocorrelation length;
the decoherence length of the momentum is a fraction of it. The initial step size is a guess: a
step whose energy jumps is rejected, so that no guess can throw a chain out of the region where
it starts.

References:
    Robnik, De Luca, Silverstein, Seljak (2023), "Microcanonical Hamiltonian Monte Carlo",
    JMLR 24, section 4.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

#: The starts of the second, third and fourth part, as fractions of the warm-up.
SCALES, SCALED, LENGTH = 0.2, 0.5, 0.8
#: The number of steps that an estimate of the step size averages, and the width, in log step
#: size, of the weights of steps around the target.
MEMORY, TRUST = 150, 1.5
#: Squared energy changes in units of the target: the threshold of a jump, the largest value
#: that is counted, and the value counted for a step in which the integrator failed.
JUMP, MOST, FAILED = 1e2, 1e12, 1e4
#: The smallest and largest factor by which a step size changes in one step.
SMALLER, LARGER = 0.01, 1.1
#: The fraction of the autocorrelation length, and the number of batches that estimate it.
SHARE, BATCHES = 0.4, 20


_MISSING = (
    "{name} needs the package blackjax, version 1.7 or later. Install it with `pip install "
    "'numpyro-bayeslayers[mcmc]'`."
)


class Tuning(NamedTuple):
    """The state of the tuning.

    Args:
        step_size: The step size.
        length: The decoherence length of the momentum.
        inverse_mass_matrix: The variances of the coordinates.
        weight: The sum of the weights of the steps.
        rate: The weighted sum of squared energy changes in units of the target variance,
            converted to `step_size`.
        count: The number of positions in the moments.
        mean: Their mean.
        square: The sum of their squared deviations.
        batch: The sum of the positions of the current batch.
        batches: The sums of the squared batch means and of the batch means.
    """

    step_size: Float[Array, ""]
    length: Float[Array, ""]
    inverse_mass_matrix: Float[Array, " d"]
    weight: Float[Array, ""]
    rate: Float[Array, ""]
    count: Float[Array, ""]
    mean: Float[Array, " d"]
    square: Float[Array, " d"]
    batch: Float[Array, " d"]
    batches: Float[Array, "2 d"]


def begin(flat: Float[Array, " d"]) -> Tuning:
    """The state before the first step, at this position."""
    nothing, zero = jnp.zeros_like(flat), jnp.zeros((), flat.dtype)
    root = jnp.sqrt(jnp.asarray(flat.size, flat.dtype))
    both = jnp.zeros((2, flat.size), flat.dtype)
    fixed = 0.25 * root, root, jnp.ones_like(flat)
    return Tuning(*fixed, zero, zero, zero, nothing, nothing, nothing, both)


def variance_at(at: Any, total: int, first: float, last: float) -> Float[Array, ""]:
    """The target variance of the energy change, which decreases until the step size is fixed."""
    share = jnp.minimum(at / max(LENGTH * total, 1.0), 1.0)
    return first * (last / first) ** share


def excess_of(
    energy_change: Float[Array, ""],
    is_finite: Bool[Array, ""],
    size: int,
    wanted: Float[Array, ""],
) -> Float[Array, ""]:
    """The squared energy change in a step, in units of the target variance.

    Args:
        energy_change: The energy change.
        is_finite: Whether the step is finite.
        size: The number of coordinates.
        wanted: The target variance per coordinate.
    """
    # Square roots first: the square of a jump may overflow.
    root = jnp.minimum(jnp.abs(energy_change) / (size * wanted) ** 0.5, MOST**0.5)
    return jnp.where(is_finite, jnp.square(root), FAILED) + 1e-8


def measured(
    tuning: Tuning,
    at: Any,
    total: int,
    position: Float[Array, " d"],
    excess: Float[Array, ""],
) -> Tuning:
    """The tuning updated by one step.

    Args:
        tuning: The tuning before the step.
        at: The index of the step, from 0.
        total: The number of steps of the warm-up.
        position: The position after the step.
        excess: The result of `excess_of`.
    """
    decay = (MEMORY - 1.0) / (MEMORY + 1.0)
    weight = jnp.exp(-0.5 * jnp.square(jnp.log(excess) / (6 * TRUST)))
    rate = decay * tuning.rate + weight * excess
    sum_of_weights = decay * tuning.weight + weight
    factor = jnp.clip((rate / sum_of_weights) ** (-1 / 6), SMALLER, LARGER)
    is_taken = excess <= JUMP
    is_sized = at < LENGTH * total
    is_seen = is_taken & ((at >= SCALES * total) & (at < SCALED * total))
    is_seen = is_seen | (is_taken & ~is_sized)
    count = tuning.count + is_seen
    away = jnp.where(is_seen, position - tuning.mean, 0.0)
    mean = tuning.mean + away / jnp.maximum(count, 1.0)
    square = tuning.square + away * jnp.where(is_seen, position - mean, 0.0)
    return tuning._replace(
        step_size=tuning.step_size * jnp.where(is_sized, factor, 1.0),
        weight=sum_of_weights,
        rate=rate * factor**6,
        count=count,
        mean=mean,
        square=square,
        batch=tuning.batch + jnp.where(is_sized, 0.0, position),
    )


def settled(tuning: Tuning, at: Any, total: int, is_scaled: bool) -> Tuning:
    """The changes between the parts of the warm-up, after the step `at`."""
    size = max(int((1 - LENGTH) * total) // BATCHES, 1)
    first = total - size * BATCHES
    done = at + 1 - first
    is_full = (done > 0) & (done % size == 0)
    each = tuning.batch / size
    new = tuning.batches + jnp.stack([jnp.square(each), each])
    tuning = tuning._replace(
        batches=jnp.where(is_full, new, tuning.batches),
        batch=jnp.where(is_full | (done <= 0), 0.0, tuning.batch),
    )
    return _scaled(_lengthened(tuning, at, total, size), at, total, is_scaled)


def _scaled(tuning: Tuning, at: Any, total: int, is_scaled: bool) -> Tuning:
    """Set the scales after the second part; restart the moments before the fourth."""
    n = jnp.maximum(tuning.count, 1.0)
    # Shrunk slightly towards their mean, as in the adaptation windows of NUTS.
    var = tuning.square / jnp.maximum(n - 1, 1.0)
    var = (n * var + 5.0 * 1e-3) / (n + 5.0)
    is_now = (at + 1 >= SCALED * total) & (at < SCALED * total) & (tuning.count > 1)
    is_now = is_now & is_scaled
    is_last = (at + 1 >= LENGTH * total) & (at < LENGTH * total)
    put = lambda new, old: jnp.where(is_now, new, old)
    again = lambda x: jnp.where(is_now | is_last, 0.0, x)
    # The step has the same length in the model's coordinates, a cautious start.
    in_scaled = tuning.step_size / jnp.sqrt(jnp.mean(var))
    return tuning._replace(
        step_size=put(in_scaled, tuning.step_size),
        inverse_mass_matrix=put(var, tuning.inverse_mass_matrix),
        weight=put(0.0, tuning.weight),
        rate=put(0.0, tuning.rate),
        count=again(tuning.count),
        mean=again(tuning.mean),
        square=again(tuning.square),
    )


def _lengthened(tuning: Tuning, at: Any, total: int, size: int) -> Tuning:
    """Set the length at the end of the warm-up: a fraction of the autocorrelation length."""
    squares, sums = tuning.batches
    spread = (squares - jnp.square(sums) / BATCHES) / (BATCHES - 1)
    var = tuning.square / jnp.maximum(tuning.count - 1, 1.0)
    steps = jnp.mean(size * spread / jnp.maximum(var, jnp.finfo(var.dtype).tiny))
    root = jnp.sqrt(jnp.asarray(var.size, var.dtype))
    length = jnp.clip(SHARE * tuning.step_size * steps, 0.1 * root, 10.0 * root)
    is_end = (at + 1 == total) & jnp.isfinite(length) & (size > 1)
    return tuning._replace(length=jnp.where(is_end, length, tuning.length))


def blackjax_parts(name: str) -> tuple[Any, ...]:
    """Import the parts of blackjax that the samplers use."""
    try:
        from blackjax.mcmc import adjusted_mclmc_dynamic, integrators, mclmc
    except ImportError as error:
        raise ImportError(_MISSING.format(name=name)) from error
    return integrators, mclmc, adjusted_mclmc_dynamic
