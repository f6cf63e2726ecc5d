"""The state of a variational run, which knows where it is and what it is of."""

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

    The position is the number of steps, the first entry of `optim_state`, and the key that
    orders the rows.

    Args:
        optim_state: The states of the optimizers. All arrays lead with the members.
        mutable_state: What the model keeps by `numpyro.mutable`; None if nothing.
        rng_key: A key for each member.
        order_key: The key that orders the rows, the same for each member; None if unknown.
        description: What the state is of; None if unknown. To go on with other data or
            settings on purpose, ``state._replace(description=None)``.
    """

    optim_state: Any
    mutable_state: PyTree
    rng_key: Any
    order_key: Any = None
    description: Description | None = None


def plain(state: Any) -> SVIState:
    """The part of a state that a step takes and gives."""
    return SVIState(state.optim_state, state.mutable_state, state.rng_key)


def named(
    state: SVIState, like: Any, description: Description | None = None
) -> EnsembleSVIState:
    """A state after further steps, which goes on in the order of the rows that `like` has."""
    return EnsembleSVIState(*state, getattr(like, "order_key", None), description)


def position(state: Any, key: PRNGKey) -> tuple[int, PRNGKey]:
    """The number of steps taken, and the key that orders the rows: `key` if it has none.

    The steps are those of the member that has taken most: others have been stopped, or
    started again.
    """
    taken = state.optim_state[0] if hasattr(state, "optim_state") else state.steps
    steps = 0 if taken is None else np.max(_processes.whole(taken))
    keys = getattr(state, "order_key", None)
    return int(steps), key if keys is None else _first_key(keys)


def _first_key(keys: Any) -> PRNGKey:
    """The first of the members' keys, which are one, on the device where JAX puts it."""
    if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        words = _processes.whole(jax.random.key_data(keys))[0]
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(keys))
    return jax.device_put(_processes.whole(keys)[0])
