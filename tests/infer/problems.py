"""Problems with known answers, and members of several kinds."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from numpyro_bayeslayers.infer import EnsembleMAP

ROWS, COLUMNS = 40, 3


def regression(rows=ROWS, columns=COLUMNS, seed=0):
    """Inputs and outputs of a linear regression, as NumPy arrays of float32."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    noise = rng.normal(size=rows).astype(np.float32)
    return x, (x @ np.arange(1, columns + 1) + 0.5 * noise).astype(np.float32)


def ridge(x, y, penalty):
    """The minimum of |y - x w|^2 / 2 + penalty |w|^2 / 2, by the normal equations."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


def step_size(x, penalty=1.0):
    """Gradient descent with this step contracts towards the minimum above."""
    return float(1.0 / (np.linalg.eigvalsh(x.T @ x)[-1] + penalty))


def linear(w, x, y):
    return -0.5 * jnp.sum((y - x @ w) ** 2), -0.5 * jnp.sum(w**2)


def linear_init(key):
    return jax.random.normal(key, (COLUMNS,))


def mlp_init(key):
    return eqx.nn.MLP(COLUMNS, "scalar", 8, 1, activation=jnp.tanh, key=key)


def mlp(model, x, y):
    weights = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    logprior = -0.5 * sum(jnp.sum(w**2) for w in weights)
    return -0.5 * jnp.sum((y - jax.vmap(model)(x)) ** 2), logprior


MEMBERS = {"linear": (linear, linear_init), "mlp": (mlp, mlp_init)}


@functools.cache
def ensemble_of(kind, ensemble_size=4):
    """One object for all tests that need no other, so that it compiles once.

    The optimizer looks across the parameters of a member.
    """
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.05))
    return EnsembleMAP(*MEMBERS[kind], optimizer, ensemble_size)


def visits(counts, x, y):
    """Its gradient counts how often each row was seen; `x` holds the rows' numbers."""
    return jnp.sum(counts[x]), 0.0


def assert_same(a, b):
    """Two pytrees are equal bit by bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if eqx.is_array(one):
            np.testing.assert_array_equal(_numbers(one), _numbers(other))


def _numbers(x):
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(x) if is_key else x


def assert_close(a, b, **tolerance):
    """Two pytrees are equal but for rounding."""
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if eqx.is_array(one):
            np.testing.assert_allclose(_numbers(one), _numbers(other), **tolerance)


def member(tree, e):
    """Member `e` of a stacked pytree, as an ensemble of one."""
    return jax.tree.map(lambda leaf: leaf[e : e + 1] if eqx.is_array(leaf) else leaf, tree)
