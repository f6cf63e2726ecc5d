r"""The warm-up of `MCLMC`, one step of the integrator at a time.

The variance of the energy's change in a step of size $\epsilon$ grows like $\epsilon^6$, so
that each step tells which size would have had the variance that is wanted. A first part of
the warm-up finds the step size, a second the scales of the coordinates too, a third the step
size in scaled coordinates; the last measures how long they stay correlated, of which the
direction is forgotten over a share. The first size is a guess: a step whose energy jumps is
not taken, so that no guess throws a chain out of the region where it starts.

References:
    Robnik, De Luca, Silverstein and Seljak (2023), "Microcanonical Hamiltonian Monte Carlo",
    JMLR 24, section 4.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

#: Where the second, the third and the fourth part of the warm-up begin.
SCALES, SCALED, LENGTH = 0.2, 0.5, 0.8
#: How many steps an estimate of the step size is of, and how far a step may be from the size
#: that is wanted and count.
MEMORY, TRUST = 150, 1.5
#: A squared change of the energy above so many times what is wanted is a jump; what one counts
#: at most, and what a step counts at which the integrator failed.
JUMP, MOST, FAILED = 1e2, 1e12, 1e4
#: The factors that a step size changes by in one step, at least and at most.
SMALLER, LARGER = 0.01, 1.1
#: The share of the correlation's length; batches of steps that it is measured by.
SHARE, BATCHES = 0.4, 20


_MISSING = (
    "{name} needs the package blackjax, 1.7 or later. Install it with "
    "`pip install 'numpyro-bayeslayers[mcmc]'`."
)


class Tuning(NamedTuple):
    """What the warm-up has found so far.

    Args:
        step_size: The step size.
        length: The length over which the direction is forgotten.
        inverse_mass_matrix: The variances of the coordinates.
        weight: The sum of the weights of steps.
        rate: The weighted sum of the energy's squared changes, in units of the variance wanted,
            as they would have been at `step_size`.
        count: Positions of which there are moments.
        mean: Their mean.
        square: The sum of the squares of their deviations.
        batch: The sum of the positions of the running batch.
        batches: The sum of the squares of the deviations of batch means from zero, and of
            batch means.
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
    """Before the first step, at this position."""
    nothing, zero = jnp.zeros_like(flat), jnp.zeros((), flat.dtype)
    root = jnp.sqrt(jnp.asarray(flat.size, flat.dtype))
    both = jnp.zeros((2, flat.size), flat.dtype)
    fixed = 0.25 * root, root, jnp.ones_like(flat)
    return Tuning(*fixed, zero, zero, zero, nothing, nothing, nothing, both)


def variance_at(at: Any, total: int, first: float, last: float) -> Float[Array, ""]:
    """The variance of the energy that is wanted: it falls until the step size is settled."""
    share = jnp.minimum(at / max(LENGTH * total, 1.0), 1.0)
    return first * (last / first) ** share


def excess_of(
    energy_change: Float[Array, ""],
    is_finite: Bool[Array, ""],
    size: int,
    wanted: Float[Array, ""],
) -> Float[Array, ""]:
    """The squared change of the energy in a step, in units of the variance that is wanted.

    Args:
        energy_change: The change of the energy.
        is_finite: Whether the integrator did not fail.
        size: The number of coordinates.
        wanted: The variance that is wanted, for each coordinate.
    """
    # Roots first: the square of a jump may be too large for a float.
    root = jnp.minimum(jnp.abs(energy_change) / (size * wanted) ** 0.5, MOST**0.5)
    return jnp.where(is_finite, jnp.square(root), FAILED) + 1e-8


def measured(
    tuning: Tuning,
    at: Any,
    total: int,
    position: Float[Array, " d"],
    excess: Float[Array, ""],
) -> Tuning:
    """What one step tells.

    Args:
        tuning: What was known before.
        at: The number of the step, from 0.
        total: The steps of the warm-up.
        position: Where it ended.
        excess: What `excess_of` gives.
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
    """What changes between the parts of the warm-up, after the step `at`."""
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
    """After the second part, in scaled coordinates; before the fourth, new moments."""
    n = jnp.maximum(tuning.count, 1.0)
    # A little towards the mean of all, as the windows of NUTS do.
    var = tuning.square / jnp.maximum(n - 1, 1.0)
    var = (n * var + 5.0 * 1e-3) / (n + 5.0)
    is_now = (at + 1 >= SCALED * total) & (at < SCALED * total) & (tuning.count > 1)
    is_now = is_now & is_scaled
    is_last = (at + 1 >= LENGTH * total) & (at < LENGTH * total)
    put = lambda new, old: jnp.where(is_now, new, old)
    again = lambda x: jnp.where(is_now | is_last, 0.0, x)
    # A step keeps its way in the coordinates of the model, which is a careful start.
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
    """At the end: the length is a share of the way over which positions are correlated."""
    squares, sums = tuning.batches
    spread = (squares - jnp.square(sums) / BATCHES) / (BATCHES - 1)
    var = tuning.square / jnp.maximum(tuning.count - 1, 1.0)
    steps = jnp.mean(size * spread / jnp.maximum(var, jnp.finfo(var.dtype).tiny))
    root = jnp.sqrt(jnp.asarray(var.size, var.dtype))
    length = jnp.clip(SHARE * tuning.step_size * steps, 0.1 * root, 10.0 * root)
    is_end = (at + 1 == total) & jnp.isfinite(length) & (size > 1)
    return tuning._replace(length=jnp.where(is_end, length, tuning.length))


def blackjax_parts(name: str) -> tuple[Any, ...]:
    """The parts of blackjax that the samplers use."""
    try:
        from blackjax.mcmc import adjusted_mclmc_dynamic, integrators, mclmc
    except ImportError as error:
        raise ImportError(_MISSING.format(name=name)) from error
    return integrators, mclmc, adjusted_mclmc_dynamic
