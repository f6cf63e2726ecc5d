"""The state of a variational run, with its position in the data and its description."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from numpyro.infer.svi import SVIState

from ... import _processes
from ..._typing import PRNGKey
from ._description import Description


class EnsembleSVIState(NamedTuple):
    """An `SVIState` of all members, with the position in the data.

    The position consists of the number of steps, the first entry of `optim_state`, and the
    random key of the order of rows.

    Args:
        optim_state: The optimizer states; all arrays have a leading axis of members.
        mutable_state: The model's mutable state (`numpyro.mutable`); None if there is none.
        rng_key: A random key for each member.
        order_key: The random key of the order of rows, the same for all members; None if
            unknown.
        description: The run that the state belongs to; None if unknown. To continue with other
            data or settings on purpose, use ``state._replace(description=None)``.
    """

    optim_state: Any
    mutable_state: PyTree
    rng_key: Any
    order_key: Any = None
    description: Description | None = None


def plain(state: Any) -> SVIState:
    """The part of a state that a step reads and returns."""
    return SVIState(state.optim_state, state.mutable_state, state.rng_key)


def named(
    state: SVIState, like: Any, description: Description | None = None
) -> EnsembleSVIState:
    """A state after further steps, with the order of rows of `like`."""
    return EnsembleSVIState(*state, getattr(like, "order_key", None), description)


def position(state: Any, key: PRNGKey) -> tuple[int, PRNGKey]:
    """The number of steps taken, and the random key of the order of rows (`key` if unknown).

    The number is the largest over members: others were stopped or restarted.
    """
    taken = state.optim_state[0] if hasattr(state, "optim_state") else state.steps
    steps = 0 if taken is None else np.max(_processes.whole(taken))
    keys = getattr(state, "order_key", None)
    return int(steps), key if keys is None else _first_key(keys)


def _first_key(keys: Any) -> PRNGKey:
    """The first of the members' keys, which are equal, on the default device."""
    if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        words = _processes.whole(jax.random.key_data(keys))[0]
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(keys))
    return jax.device_put(_processes.whole(keys)[0])
