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


def steps_taken(state: Any) -> int:
    """The number of steps of the member that has taken most."""
    return int(np.max(np.asarray(state.optim_state[0])))


def order_key(state: Any, key: PRNGKey) -> PRNGKey:
    """The key that orders the rows: that of the state, or `key` if it has none."""
    keys = getattr(state, "order_key", None)
    return key if keys is None else jax.device_put(keys, jax.devices()[0])[0]
