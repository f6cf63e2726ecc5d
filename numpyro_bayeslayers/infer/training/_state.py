"""The state of a variational run, which knows where it is and what it is of."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree
from numpyro.infer.svi import SVIState

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

    The steps are those of the member here that has taken most: others have been stopped, or
    started again.
    """
    taken = state.optim_state[0] if hasattr(state, "optim_state") else state.steps
    steps = 0 if taken is None else np.max(np.asarray(_here(taken)))
    keys = getattr(state, "order_key", None)
    return int(steps), key if keys is None else _here(keys)[0]


def _here(array: Any) -> Any:
    """A part of an array that this process can read."""
    return array.addressable_shards[0].data if isinstance(array, jax.Array) else array
