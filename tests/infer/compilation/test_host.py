"""Programs that NumPy takes give what XLA gives, and compile nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import lax, random
from numpyro.handlers import seed, trace

from numpyro_bayeslayers.infer.compilation import _host
from numpyro_bayeslayers.infer.compilation._host import (
    UnknownError,
    evaluated,
    on_host,
    seldom,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3)).astype(np.float32)
POSITIVE = np.abs(X) + 0.1
UNIT = (POSITIVE / 4).astype(np.float32)
N = RNG.integers(-9, 9, size=(4, 3)).astype(np.int32)
FAR = np.array([0, 9])
KEY = random.key(7)

PROGRAMS = {
    "real": (lambda x: (-x, jnp.sign(x), jnp.floor(x), jnp.exp(x), jnp.tanh(x), x**3), X),
    "positive": (
        lambda x: (jnp.log(x), jnp.sqrt(x), lax.rsqrt(x), x**0.3, lax.lgamma(x)),
        POSITIVE,
    ),
    "special": (
        lambda x: (lax.erf_inv(x), lax.erfc(x), jax.nn.sigmoid(x), jnp.log1p(x)),
        UNIT,
    ),
    "whole": (
        lambda n: (n // 4, n % 4, lax.div(n, 3), n << 2, n & 3, ~n, n.astype(float)),
        N,
    ),
    "rounding": (lambda x: (jnp.round(2 * x), lax.round(2 * x), jnp.clip(x, -1, 1)), X),
    "choices": (lambda x: (jnp.where(x > 0, x, 0), lax.select_n(N % 3, x, -x, 2 * x)), X),
    "sums": (lambda x: (x.sum(0), x.max(), x.prod(1), (x > 0).any(1), x.var(0)), X),
    "running": (lambda x: (jnp.cumsum(x, 1), lax.cummax(x, 0, reverse=True)), X),
    "shapes": (
        lambda x: (x.T, x[::-1], x[1:3:2], x[..., None], jnp.stack([x, x]).reshape(-1)),
        X,
    ),
    "products": (
        lambda x: (x @ x.T, jnp.einsum("ab,cb->abc", x, x), jnp.einsum("ab,ac->abc", x, x)),
        X,
    ),
    "orders": (
        lambda x: (jnp.sort(x, 0), jnp.argsort(x, 1), lax.sort((x[0], x[1]), num_keys=1)),
        X,
    ),
    "loops": (
        lambda x: (
            lax.while_loop(
                lambda a: a[1] < x[0, 0] + 9, lambda a: (2 * a[0], a[1] + 1), (x, 0.0)
            ),
            jax.vmap(lambda a: lax.while_loop(lambda b: b.max() < 5, lambda b: 2 * b, a))(
                x + 3
            ),
            lax.cond(x[0, 0] > 0, lambda a: a + 1, lambda a: a - 1, x),
            lax.switch(7, [jnp.sin, jnp.cos], x),
        ),
        X,
    ),
    "places": (
        lambda x: (x[np.array([3, 0])], x[:, N[0] % 3], jnp.take(x, np.array([0, 9]), 0)),
        X,
    ),
    "along": (lambda x: jnp.take_along_axis(x, N % 3, 1), X),
    "parts": (lambda x: (*jnp.unstack(x, axis=1), *jnp.split(x, [1, 3])), X),
    "part": (lambda x: lax.dynamic_slice(x, (x.astype(int)[0, 0] + 3, 0), (2, 3)), X),
    "bits": (lambda x: lax.bitcast_convert_type(x, jnp.uint32) >> 9, X),
    "mapped": (jax.vmap(lambda x: jnp.outer(x, x) @ x), X),
    "derivative": (jax.grad(lambda x: jnp.sum(jax.nn.softplus(x) * jnp.sin(x))), X),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_operations(name):
    """Against the same function, compiled: 4 units in the last place, or equal."""
    fn, x = PROGRAMS[name]
    ours = evaluated(jax.make_jaxpr(fn)(x), [x])
    theirs = jax.tree.leaves(fn(jnp.asarray(x)))
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        if jnp.issubdtype(other.dtype, jnp.inexact):
            np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)
        else:
            np.testing.assert_array_equal(one, other)


def draws(key):
    keys = random.split(random.fold_in(key, 3), (2, 5))
    each = jax.vmap(lambda k: random.normal(k, (3,)))(keys[1])
    return (
        each,
        random.bits(keys[0, 1], (5,), jnp.uint8),
        random.randint(keys[0, 2], (9,), 0, 7),
        random.bernoulli(random.key(5), 0.3, (9,)),
        random.key_data(keys),
        random.exponential(random.wrap_key_data(random.key_data(key)), (4,)),
    )


def test_random_numbers_are_those_of_jax():
    """Whole ones to the last bit; others as their logarithms and roots come out."""
    ours = evaluated(jax.make_jaxpr(draws)(KEY), [KEY])
    for one, other in zip(ours, draws(KEY), strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=2e-5, atol=1e-6)


def model(x):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    slope = numpyro.sample("slope", dist.Laplace(0.0, 2.0).expand([3]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ slope, scale))


def test_draws_of_a_model_compile_nothing(compiled):
    def one(key, x):
        sites = trace(seed(model, key)).get_trace(x)
        return {name: sites[name]["value"] for name in ("scale", "slope", "y")}

    keys = random.split(KEY, 8)
    theirs = jax.jit(jax.vmap(one, (0, None)))(keys, X)
    keys = np.asarray(random.key_data(keys))
    of_words = lambda k, x: jax.vmap(one, (0, None))(random.wrap_key_data(k), x)
    before = len(compiled)
    ours = on_host(of_words, keys, X)
    assert len(compiled) == before
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs
    )


def test_what_is_not_for_numpy_is_compiled(monkeypatch):
    """A long loop; more numbers than are worth it; keys of another kind."""
    loop = lambda x: lax.while_loop(lambda a: a[0] < 300, lambda a: a + 1, x)
    with pytest.raises(UnknownError):
        evaluated(jax.make_jaxpr(loop)(X[0]), [X[0]])
    found = on_host(loop, X[0], otherwise=lambda x: loop(x) + 10)
    np.testing.assert_allclose(found, np.asarray(loop(X[0])) + 10)
    other = random.key(0, impl="rbg")
    with pytest.raises(UnknownError, match="another kind"):
        evaluated(jax.make_jaxpr(random.bits)(other), [other])
    monkeypatch.setattr(_host, "MOST", 3)
    with pytest.raises(UnknownError, match="too large"):
        evaluated(jax.make_jaxpr(jnp.sin)(X), [X])


def test_what_runs_seldom(compiled):
    """By NumPy, with arrays and keys of JAX; outputs that nothing is asked for cost nothing."""

    def start(key, x):
        unknown = jnp.linalg.cholesky(x.T @ x)  # which leads nowhere
        del unknown
        return {
            "key": random.split(key)[1],
            "x": random.normal(key, x.shape) + x,
            "none": None,
        }

    theirs = jax.jit(start)(KEY, X)
    calls = seldom(start, jax.jit(start))
    before = len(compiled)
    ours = calls(KEY, X)
    assert len(compiled) == before and calls.program(KEY, X)
    np.testing.assert_array_equal(
        *(random.key_data(found["key"]) for found in (ours, theirs))
    )
    np.testing.assert_allclose(ours["x"], theirs["x"], rtol=1e-5, atol=1e-6)
    assert isinstance(ours["x"], jax.Array) and ours["none"] is None
    assert ours["key"].dtype == theirs["key"].dtype

    inside = jax.jit(lambda x: calls(KEY, x)["x"])(X)  # in another program, as a part of it
    np.testing.assert_allclose(inside, theirs["x"], rtol=1e-5, atol=1e-6)
    hard = seldom(jnp.linalg.inv, lambda x: "compiled")
    assert hard(np.eye(2)) == "compiled" and hard.program(np.eye(2)) is None
