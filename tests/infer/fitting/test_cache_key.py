"""Two things have one key only if their programs are equal: what a trace reads is in it."""

import functools
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.handlers import flipout
from numpyro_bayeslayers.infer.fitting._cache_key import cache_key
from numpyro_bayeslayers.layers import AdaptiveLayer, DenseReparameterization, lift

SCALE = 1.0
SETTINGS = types.ModuleType("settings")
SETTINGS.scale = 1.0
OPTIONS = {"scale": [1.0]}


def inner():
    return SCALE


def by_global(x):
    return SCALE * x


def by_call(x):
    return inner() * x


def by_nested(x):
    return (lambda: SCALE)() * x


def by_module(x):
    return SETTINGS.scale * x


def by_container(x):
    return OPTIONS["scale"][0] * x


class ByMethod:
    def __call__(self, x):
        return SCALE * x


class ByModule(eqx.Module):
    width: int = 3

    def __call__(self, x):
        return SCALE * x


def by_instance(x):
    return ByMethod()(x)


CHANGES = {
    "global": (by_global, "SCALE"),
    "call": (by_call, "SCALE"),
    "nested": (by_nested, "SCALE"),
    "instance": (by_instance, "SCALE"),
    "method": (ByMethod(), "SCALE"),
    "equinox": (ByModule(), "SCALE"),
    "partial": (functools.partial(by_global), "SCALE"),
    "jit": (jax.jit(by_global), "SCALE"),
    "vmap": (jax.vmap(by_global), "SCALE"),
    "handler": (flipout(by_global), "SCALE"),
}


@pytest.mark.parametrize(("fn", "name"), CHANGES.values(), ids=CHANGES)
def test_a_changed_global_is_another_program(fn, name, monkeypatch):
    before = cache_key(fn)
    assert before is not None and cache_key(fn) == before
    monkeypatch.setitem(globals(), name, 2.0)
    assert cache_key(fn) != before
    monkeypatch.undo()
    assert cache_key(fn) == before


def test_changes_inside_of_what_a_global_holds(monkeypatch):
    module, container = cache_key(by_module), cache_key(by_container)
    monkeypatch.setattr(SETTINGS, "scale", 2.0)
    monkeypatch.setitem(OPTIONS, "scale", [2.0])
    assert None not in (module, container)
    assert cache_key(by_module) != module
    assert cache_key(by_container) != container


def made(scale, shift=0.0):
    def model(x, *, power=shift):
        return scale * x + power

    return model


EQUAL = {
    "closures": lambda: made(2.0),
    "arrays": lambda: made(jnp.arange(3)),
    "lambdas": lambda: lambda x: x + 1,
    "optax": lambda: optax.chain(optax.clip(1.0), optax.adamw(1e-2)),
    "schedule": lambda: optax.adam(optax.cosine_decay_schedule(0.1, 100)),
    "numpyro": lambda: numpyro.optim.Adam(0.1),
    "elbo": lambda: Trace_ELBO(num_particles=2),
    "guide": lambda: functools.partial(AutoNormal, init_scale=0.1),
    "autoguide": lambda: AutoNormal(by_global),
    "distribution": lambda: dist.Normal(0.0, jnp.ones(3)).to_event(1),
    "layer": lambda: DenseReparameterization(3, 4, name="a"),
    "regression": lambda: AdaptiveLayer(),
    "network": lambda: eqx.nn.MLP(3, 1, 8, 2, key=jax.random.key(0)),
    "lifted": lambda: lift(
        eqx.nn.Linear(3, 1, key=jax.random.key(0)), {"*": dist.Normal(0, 1)}, name="n"
    ),
    "key": lambda: jax.random.key(3),
    "recursive": lambda: recursive(3),
}


def recursive(depth):
    def walk(x):
        return walk(x - 1) if x > depth else x

    return walk


@pytest.mark.parametrize("make", EQUAL.values(), ids=EQUAL)
def test_equal_things_have_equal_keys(make):
    first, second = cache_key(make()), cache_key(make())
    assert first is not None
    assert first == second and hash(first) == hash(second)


DIFFERENT = {
    "closures": (made(2.0), made(3.0)),
    "types": (made(2.0), made(2)),
    "bool": (made(1), made(True)),
    "nan": (made(float("nan")), made(0.0)),
    "zeros": (made(0.0), made(-0.0)),
    "defaults": (made(2.0), made(2.0, 1.0)),
    "arrays": (made(jnp.arange(3)), made(jnp.arange(3) + 1)),
    "dtypes": (made(np.ones(3, np.float32)), made(np.ones(3, np.int32))),
    "shapes": (made(np.ones(3)), made(np.ones((3, 1)))),
    "optimizers": (optax.adam(0.1), optax.adam(0.2)),
    "wrappers": (made(2.0), flipout(made(2.0))),
    "particles": (Trace_ELBO(), Trace_ELBO(2)),
    "orders": (made({"a": 1, "b": 2}), made({"b": 2, "a": 1})),
    "names": (DenseReparameterization(3, 4), DenseReparameterization(3, 4, name="a")),
    "aliases": (([1, 2], 3), ((1, 2), 3)),
    "keys": (jax.random.key(0), jax.random.key(1)),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_different_things_have_different_keys(one, other):
    assert None not in (cache_key(one), cache_key(other))
    assert cache_key(one) != cache_key(other)


def test_what_cannot_be_told_has_no_key():
    read = iter([1.0, 2.0])
    assert cache_key(lambda x: next(read) * x) is None
    assert cache_key(made({by_global})) is None
    tracers = []
    jax.eval_shape(lambda x: tracers.append(cache_key(made(x))), jnp.ones(3))
    assert tracers == [None]


def test_large_arrays_have_no_key(monkeypatch):
    """Reading them would take longer than it saves, and they are no setting."""
    from numpyro_bayeslayers.infer.fitting import _cache_key

    monkeypatch.setattr(_cache_key, "MOST_BYTES", 100)
    assert cache_key(made(np.ones(4))) is not None
    assert cache_key(made(np.ones(40))) is None
