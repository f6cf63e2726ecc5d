"""When a member stops, step by step, on losses that are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers.infer import EarlyStopping
from numpyro_bayeslayers.infer.training._early_stopping import (
    start_stopping,
    with_early_stopping,
)


def follow(losses, rule):
    """The memory after these losses (steps, members); the parameter is the step's number."""
    losses = jnp.asarray(losses)

    def step(state, batch, shared, scale):
        return state + 1, losses[state[0].astype(int)]

    members = losses.shape[1]
    stopping = jax.jit(with_early_stopping(step, lambda state: state, rule))
    state = jnp.zeros(members)
    carry = state, start_stopping(state, members)
    for _ in losses:
        carry, _ = stopping(carry, None, None, 1.0)
    return carry


@pytest.mark.parametrize("bad", [-np.inf, np.inf, np.nan])
def test_a_loss_that_is_not_finite_is_never_the_best(bad):
    """One member meets it in its third step, the other does not: the same end for both."""
    plain = [5.0, 4.0, 3.5, 3.0, 2.0, 2.5]
    losses = np.stack([[*plain[:2], bad, *plain[3:]], plain], axis=1)
    _, memory = follow(losses, EarlyStopping(patience=4, decay=0.0))
    np.testing.assert_array_equal(memory.best, [2.0, 2.0])
    np.testing.assert_array_equal(memory.best_params, [4.0, 4.0])
    np.testing.assert_array_equal(memory.waited, [1, 1])


def test_the_smoothed_loss_stays_where_a_loss_is_not_finite():
    losses = np.array([[4.0], [2.0], [-np.inf], [3.0]])
    _, memory = follow(losses, EarlyStopping(patience=4, decay=0.5))
    np.testing.assert_allclose(memory.average, [3.0])  # 4, 3, 3, 3
    np.testing.assert_array_equal(memory.best, [3.0])
    np.testing.assert_array_equal(memory.best_params, [1.0])


def test_a_member_without_a_finite_loss_stops():
    losses = np.full((5, 1), np.nan)
    state, memory = follow(losses, EarlyStopping(patience=3))
    assert memory.is_stopped.all() and memory.best_params == 0.0
    np.testing.assert_array_equal(state, [2.0])  # the step at which it stops is not taken
