"""Adam with a step size that falls to zero, over a number of steps that the state holds.

A number in the state is none in the program: another number of steps compiles nothing.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from ... import _processes


class CosineState(NamedTuple):
    """Where on its way a step size is.

    Args:
        count: The steps that were taken.
        steps: Those after which it is zero.
    """

    count: Array
    steps: Array


def adam_to_zero(first: float) -> optax.GradientTransformation:
    r"""Adam, whose step size falls from `first` to zero along a cosine.

    $$\eta_t = \tfrac{1}{2} \eta_0 (1 + \cos(\pi \min(t, T) / T))$$

    Its state is for a single step (T = 1), until `over_steps` says for how many.

    Args:
        first: The first step size, positive.

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
    """A state whose step sizes, if they fall so, are zero after `num_steps`."""

    def put(part: Any) -> Any:
        if not isinstance(part, CosineState):
            return part
        steps = np.full(part.steps.shape, num_steps, part.steps.dtype)
        return part._replace(steps=jax.device_put(steps))

    return jax.tree.map(put, state, is_leaf=lambda part: isinstance(part, CosineState))


def check_not_spent(name: str, state: PyTree) -> None:
    """Steps are left in a state, if its step sizes fall.

    Raises:
        ValueError: If the next one is zero: a run would change nothing.
    """
    is_cosine = lambda part: isinstance(part, CosineState)
    parts = filter(is_cosine, jax.tree.leaves(state, is_leaf=is_cosine))
    if any(np.all(_processes.whole(p.count) >= _processes.whole(p.steps)) for p in parts):
        raise ValueError(
            f"`{name}` is at the end of its step sizes, which have fallen to zero: going on "
            "would change nothing. Start at its parameters, `init=found`, with step sizes that "
            "fall anew; or give an optimizer of a constant step size, `optim=optax.adam(0.01)`."
        )


def length_of(state: PyTree, num_steps: int) -> dict[str, int]:
    """What a run that is repeated must have in common, if its step sizes fall so: its length."""
    is_cosine = lambda part: isinstance(part, CosineState)
    falls = any(map(is_cosine, jax.tree.leaves(state, is_leaf=is_cosine)))
    return {"num_steps": num_steps} if falls else {}
