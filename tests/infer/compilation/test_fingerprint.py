"""What functions are, in words that are the same in every process."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import operator
import os
import pathlib
import re
import subprocess
import sys
import threading
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pandas as pd
import pytest
from numpyro.handlers import seed

from numpyro_bayeslayers.handlers import (
    flipout,
    local_reparameterization,
    mc_dropout,
    temper,
)
from numpyro_bayeslayers.infer.compilation._fingerprint import settings_of
from numpyro_bayeslayers.infer.training._description import Description, differences
from numpyro_bayeslayers.layers import DenseReparameterization


def of_code(constants):
    """A function whose code has these constants."""
    fn = lambda x: x
    fn.__code__ = fn.__code__.replace(co_consts=constants)
    return settings_of(fn)["code"]


def test_sets_in_code_have_no_order():
    """``x in {"a", "b"}``: the words' order is another one in each process."""
    one, other = frozenset([0, 8]), frozenset([8, 0])
    assert one == other and repr(one) != repr(other)
    assert of_code((None, one)) == of_code((None, other))


@pytest.mark.parametrize("constants", [(None, frozenset([0, 9])), (None, 1.0), (None,)])
def test_other_constants_are_other_code(constants):
    assert of_code(constants) != of_code((None, frozenset([0, 8])))


@dataclasses.dataclass
class Options:
    rate: float
    names: tuple = ("a",)


@dataclasses.dataclass(frozen=True, slots=True)
class Slim:
    rate: float


class Levels(eqx.Module):
    rate: float
    values: jax.Array


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Slotted:
    __slots__ = ("rate",)

    def __init__(self, rate):
        self.rate = rate


class Calls:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, x):
        return self.rate * x


def double(x, by=2.0):
    return by * x


def users(fn):
    @functools.wraps(fn)
    def wrapped(x):
        return fn(x)

    return wrapped


def masked(mask):
    return np.ma.MaskedArray([1.0, 2.0, 3.0], mask)


# What a closure may hold, made anew from a number.
HOLDS = {
    "set": lambda i: {"a", "b", i},
    "frozenset of tuples": lambda i: frozenset({("a", i), ("b", 1)}),
    "set of functions": lambda i: {double, functools.partial(double, by=i)},
    "dict": lambda i: {"a": 1, "b": i},
    "dict by numbers": lambda i: {1: "a", "1": i},
    "dict by tuples": lambda i: {(1, 2): i},
    "keys": lambda i: {"a": 1, str(i): 2}.keys(),
    "values": lambda i: {"a": 1, "b": i}.values(),
    "items": lambda i: {"a": 1, "b": i}.items(),
    "default dict": lambda i: collections.defaultdict(list, a=[i]),
    "ordered dict": lambda i: collections.OrderedDict(a=i),
    "counter": lambda i: collections.Counter([1, i, i]),
    "read-only dict": lambda i: types.MappingProxyType({"a": i}),
    "deque": lambda i: collections.deque([1, i]),
    "range": lambda i: range(i),
    "slice": lambda i: slice(i),
    "bytes": lambda i: bytes([i]),
    "byte array": lambda i: bytearray([i]),
    "namespace": lambda i: types.SimpleNamespace(a=i),
    "named tuple": lambda i: collections.namedtuple("Pair", "a b")(1, i),
    "dataclass": lambda i: Options(i),
    "frozen dataclass with slots": lambda i: Slim(i),
    "slots": lambda i: Slotted(i),
    "module of equinox": lambda i: Levels(i, jnp.ones(2)),
    "array of equinox": lambda i: Levels(1.0, jnp.full(2, float(i))),
    "enumeration": lambda i: Color(i),
    "partial": lambda i: functools.partial(double, by=i),
    "partial of jax": lambda i: jax.tree_util.Partial(double, i),
    "method": lambda i: Calls(i).__call__,
    "method of a dictionary": lambda i: {"a": i}.get,
    "callable object": lambda i: Calls(i),
    "getter": lambda i: operator.itemgetter(i),
    "cached": lambda i: functools.lru_cache(functools.partial(double, by=i)),
    "date": lambda i: datetime.date(2020, 1, i),
    "duration": lambda i: datetime.timedelta(days=i),
    "decimal": lambda i: decimal.Decimal(i),
    "fraction": lambda i: fractions.Fraction(i, 3),
    "path": lambda i: pathlib.PurePosixPath(f"a/{i}"),
    "pattern": lambda i: re.compile(f"a{i}"),
    "numpy number": lambda i: np.float32(i) / 3,
    "numpy date": lambda i: np.datetime64(f"2020-01-0{i}"),
    "numpy words": lambda i: np.array(["a", f"b{i}"]),
    "numpy dates": lambda i: np.array([f"2020-01-0{i}"], "M8[D]"),
    "numpy objects": lambda i: np.array(["a", (1, i)], dtype=object),
    "numpy records": lambda i: np.array([(1, i)], dtype=[("a", int), ("b", float)]),
    "masked array": lambda i: masked([False, i == 1, True]),
    "strided array": lambda i: np.arange(12.0).reshape(3, 4)[:, i],
    "bfloat16": lambda i: jnp.full(2, i, jnp.bfloat16),
    "typed key": lambda i: jax.random.key(i),
    "typed keys": lambda i: jax.random.split(jax.random.key(i), 2),
    "raw key": lambda i: jax.random.PRNGKey(i),
    "distribution": lambda i: dist.Normal(0.0, i),
    "transformed distribution": lambda i: dist.LogNormal(0.0, i),
    "optimizer": lambda i: optax.adam(i / 10),
    "schedule": lambda i: optax.cosine_decay_schedule(0.1, i),
    "layer": lambda i: DenseReparameterization(2, i, name="d"),
    "table": lambda i: pd.DataFrame({"a": [1, i], "b": ["x", "y"]}),
    "column": lambda i: pd.Series(["x", f"y{i}"], dtype="category"),
    "index": lambda i: pd.Index([1, i]),
    "long list": lambda i: [*range(5000), i],
    "deep list": lambda i: functools.reduce(lambda x, _: [x], range(10), i),
    "jitted": lambda i: jax.jit(functools.partial(double, by=i)),
    "mapped": lambda i: jax.vmap(functools.partial(double, by=i)),
    "wrapped": lambda i: users(functools.partial(double, by=i)),
    "tempered": lambda i: temper(double, i / 10),
    "seeded": lambda i: seed(double, i),
    "dropped out": lambda i: mc_dropout(double, i / 10),
}


@pytest.mark.parametrize("make", HOLDS.values(), ids=HOLDS)
def test_what_closures_hold_is_part_of_them(make):
    """Made twice it is the same; with another number inside it is another."""

    def held(value):
        return lambda x: (value, x)

    one, twin, other = (settings_of(held(make(i))) for i in (1, 1, 2))
    assert one == twin
    assert one != other


def test_one_order_of_a_dictionary_is_as_good_as_another():
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    texts = [Description({"model": settings_of(x)}) for x in (one, other)]
    assert not differences(*texts, ("model",))


def test_handlers_are_told_apart_and_do_not_remember():
    """Also after a run, when they hold what was drawn in it."""
    layer = DenseReparameterization(2, 1, name="d")
    model = lambda x: layer(x)
    made = [flipout(model), local_reparameterization(model), temper(model, 0.5), model]
    before = [settings_of(fn) for fn in made]
    assert len({tuple(sorted(x.items())) for x in before}) == len(made)
    for fn in made:
        seed(fn, 0)(jnp.ones((3, 2)))
    assert [settings_of(fn) for fn in made] == before
    assert before[0]["kind"].startswith("flipout(")


def test_a_table_that_was_used_is_the_same():
    table = pd.DataFrame({"a": [1, 2], "b": [2, 3]})
    before = settings_of(table)
    table["a"].sum(), table.index.get_loc(1), table.columns.is_unique
    assert settings_of(table) == before


def test_methods_and_classes_of_the_user_are_code():
    """Two classes of one name, which do other things; classes of libraries go by name."""

    def kind(by):
        class Doubles:
            def __call__(self, x):
                return x + 1 if by else x + 2

        class Others:
            def __call__(self, x):
                return x + 3

        Others.__qualname__ = Doubles.__qualname__
        return Doubles if by else Others

    one, other = kind(True), kind(False)
    assert settings_of(one()) != settings_of(other())
    assert settings_of(one) != settings_of(other)
    assert settings_of(dist.Normal) == {"value": "Normal"}
    assert not any("code" in path for path in settings_of(dist.Normal(0.0, 1.0)))


def test_what_cannot_be_looked_into_goes_by_its_type():
    assert settings_of(threading.Lock()) == {"kind": "lock"}
    loop = []
    loop.append(loop)
    assert settings_of(loop) == {"kind": "list"}


@pytest.mark.slow
def test_texts_are_the_same_in_another_process():
    """With other hashes of words, and other addresses."""
    code = (
        "from tests.infer.compilation.test_fingerprint import HOLDS\n"
        "from numpyro_bayeslayers.infer.compilation._fingerprint import settings_of\n"
        "print(sorted((n, sorted(settings_of(make(1)).items())) for n, make in HOLDS.items()))"
    )
    root = pathlib.Path(__file__).parents[3]
    env = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
    ran = [sys.executable, "-c", code]
    done = subprocess.run(
        ran, capture_output=True, text=True, cwd=root, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    here = sorted((n, sorted(settings_of(make(1)).items())) for n, make in HOLDS.items())
    there = dict(eval(done.stdout))
    wrong = [n for n, texts in here if n != "_" and there[n] != texts]
    assert not wrong
