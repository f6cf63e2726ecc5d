"""Moments of the iterates of an optimizer, stored in its state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree


class Iterates(NamedTuple):
    """The moments of the iterates collected so far.

    Args:
        inner: The state of the wrapped optimizer.
        steps: The number of steps taken.
        count: The number of collected iterates.
        mean: Their mean.
        squares: The sum of their squared deviations from the mean.
        deviations: The deviations of the last iterates from the running means, in a ring
            buffer.
    """

    inner: Any
    steps: Array
    count: Array
    mean: Array
    squares: Array
    deviations: Array


def collecting(
    inner: optax.GradientTransformation, name: str, start: int, every: int, rank: int
) -> optax.GradientTransformation:
    r"""An optimizer that records moments of the iterates of one parameter.

    For the iterates $\theta_i$ after the steps `start` + `every`, `start` + 2 `every`, ...

    $$\bar\theta_i = \bar\theta_{i-1} + (\theta_i - \bar\theta_{i-1}) / i, \qquad
    q_i = q_{i-1} + (\theta_i - \bar\theta_{i-1}) (\theta_i - \bar\theta_i)$$

    Args:
        inner: The optimizer.
        name: The parameter, a vector.
        start: The number of steps before the first interval.
        every: The number of steps between iterates.
        rank: The number of last deviations $\theta_i - \bar\theta_i$ that are stored.

    References:
        Welford (1962), "Note on a method for calculating corrected sums of squares and
        products", Technometrics 4.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params: PyTree) -> Iterates:
        zero, one = jnp.zeros((), jnp.int32), jnp.zeros_like(params[name])
        rows = jnp.zeros((rank, *one.shape), one.dtype)
        return Iterates(inner.init(params), zero, zero, one, one, rows)

    def update(updates: Any, state: Any, params: Any = None, **more: Any) -> Any:
        found: Any = inner.update(updates, state.inner, params, **more)
        moves, after = found
        here, steps = params[name] + moves[name], state.steps + 1
        is_due = (steps > start) & ((steps - start) % every == 0)
        count = state.count + 1
        mean = state.mean + (here - state.mean) / count
        squares = state.squares + (here - state.mean) * (here - mean)
        rows = state.deviations.at[state.count % rank].set(here - mean)
        now = count, mean, squares, rows
        kept = state.count, state.mean, state.squares, state.deviations
        chosen = jax.tree.map(lambda x, y: jnp.where(is_due, x, y), now, kept)
        return moves, Iterates(after, steps, *chosen)

    return optax.GradientTransformationExtraArgs(init, update)


def iterates_in(state: PyTree) -> Iterates:
    """The iterates in the state of a run, with a leading axis of members."""
    is_it = lambda part: isinstance(part, Iterates)
    return next(filter(is_it, jax.tree.leaves(state, is_leaf=is_it)))
