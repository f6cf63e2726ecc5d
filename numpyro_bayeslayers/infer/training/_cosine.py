"""Adam with cosine decay of the step size, over a number of steps stored in the state.

Since the number is in the state and not a constant of the program, changing it does not
recompile.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from ... import _processes


class CosineState(NamedTuple):
    """The position in a cosine schedule.

    Args:
        count: The number of steps taken.
        steps: The number of steps after which the step size is zero.
    """

    count: Array
    steps: Array


def adam_to_zero(first: float) -> optax.GradientTransformation:
    r"""Adam with a step size that decreases from `first` to zero along a cosine.

    $$\eta_t = \tfrac{1}{2} \eta_0 (1 + \cos(\pi \min(t, T) / T))$$

    The initial state has T = 1; `over_steps` sets the number of steps T.

    Args:
        first: The initial step size, positive.

    References:
        Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts",
        ICLR, equation 5.
    """

    def init(params: PyTree) -> CosineState:
        return CosineState(jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        count = jnp.minimum(state.count, state.steps)
        size = first * 0.5 * (1 + jnp.cos(jnp.pi * count / state.steps))
        scaled = jax.tree.map(lambda x: jnp.asarray(-size, x.dtype) * x, updates)
        return scaled, state._replace(count=optax.safe_increment(state.count))

    return optax.chain(optax.scale_by_adam(), optax.GradientTransformation(init, update))


def over_steps(state: PyTree, num_steps: int) -> PyTree:
    """The state with `num_steps` as the length of its cosine schedules."""

    def put(part: Any) -> Any:
        if not isinstance(part, CosineState):
            return part
        steps = np.full(part.steps.shape, num_steps, part.steps.dtype)
        return part._replace(steps=jax.device_put(steps))

    return jax.tree.map(put, state, is_leaf=lambda part: isinstance(part, CosineState))


def check_not_spent(name: str, state: PyTree) -> None:
    """Check that the cosine schedules in a state are not finished.

    Raises:
        ValueError: If the next step size is zero, so that a run would change nothing.
    """
    is_cosine = lambda part: isinstance(part, CosineState)
    parts = filter(is_cosine, jax.tree.leaves(state, is_leaf=is_cosine))
    if any(np.all(_processes.whole(p.count) >= _processes.whole(p.steps)) for p in parts):
        raise ValueError(
            f"`{name}` is at the end of its step size schedule: the step size is zero, so "
            "continuing would change nothing. Start from its parameters, `init=found`, with a "
            "new schedule, or use an optimizer with a constant step size, "
            "`optim=optax.adam(0.01)`."
        )


def length_of(state: PyTree, num_steps: int) -> dict[str, int]:
    """The part of the identity of a run due to a cosine schedule: its number of steps."""
    is_cosine = lambda part: isinstance(part, CosineState)
    falls = any(map(is_cosine, jax.tree.leaves(state, is_leaf=is_cosine)))
    return {"num_steps": num_steps} if falls else {}
