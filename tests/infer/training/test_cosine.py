"""Adam that falls to zero: the numbers of optax, from a state that says how long."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from numpyro_bayeslayers.infer.training._cosine import adam_to_zero, length_of, over_steps

STEPS = 7


def taken(optim, state, params):
    sizes = []
    for i in range(STEPS + 2):
        gradient = jax.tree.map(lambda x, i=i: x + i, params)
        updates, state = optim.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        sizes.append(params)
    return sizes


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_steps_are_those_of_optax(dtype):
    """Also beyond the last one, where nothing moves."""
    params = {"a": jnp.array([1.0, -2.0], dtype), "b": jnp.array(0.5, dtype)}
    optim, stock = (
        adam_to_zero(0.1),
        optax.adam(optax.cosine_decay_schedule(0.1, STEPS)),
    )
    ours = taken(optim, over_steps(optim.init(params), STEPS), params)
    theirs = taken(stock, stock.init(params), params)
    for one, other in zip(ours, theirs, strict=True):
        for name, x in one.items():
            assert x.dtype == dtype
            np.testing.assert_allclose(
                np.asarray(x, float), np.asarray(other[name], float), rtol=2e-6
            )
    np.testing.assert_array_equal(ours[-1]["a"], ours[-2]["a"])


def test_states_of_members_and_of_others():
    """Each member has the number; a state without one stays as it is."""
    optim = adam_to_zero(0.1)
    states = jax.vmap(optim.init)(jnp.ones((3, 2)))
    found = over_steps((0, states), 5)
    np.testing.assert_array_equal(found[1][1].steps, [5, 5, 5])
    other = optax.sgd(0.1).init(jnp.ones(2))
    assert over_steps(other, 5) == other
    assert length_of(found, 5) == {"num_steps": 5} and length_of(other, 5) == {}
