"""Estimates of memory: those of programs whose arrays can be counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from numpyro_bayeslayers.infer.compilation._memory import output_bytes, peak_bytes

N = 1000
X = jnp.ones(N)
ROW = 4 * N  # the bytes of an array like X


def chain(x):
    """Each value is last read by the next step: two arrays live at a time."""
    return jnp.sum(jnp.cos(jnp.sin(jnp.cos(jnp.sin(x)))))


def kept(x):
    """All three are read at the end, where the sum of two is the fourth."""
    a, b, c = jnp.sin(x), jnp.cos(x), jnp.tan(x)
    return a + b, c


def looped(x):
    """One body at a time, of two arrays, beside the eight that are given."""
    return jax.lax.map(lambda i: jnp.sin(jnp.cos(i * x)), jnp.arange(8.0))


@pytest.mark.parametrize(("fn", "arrays"), [(chain, 2), (kept, 4), (looped, 8 + 2)])
def test_counts_what_lives_at_a_time(fn, arrays):
    for program in (fn, jax.jit(fn)):
        found = peak_bytes(jax.make_jaxpr(program)(X)) / ROW
        assert arrays <= found < arrays + 0.1  # numbers that are no rows


def test_outputs_and_keys():
    program = jax.make_jaxpr(lambda key: (jax.random.normal(key, (N,)), key))(
        jax.random.key(0)
    )
    assert output_bytes(program) == ROW + 8
    assert peak_bytes(program) >= 2 * ROW  # random bits, and what they become
