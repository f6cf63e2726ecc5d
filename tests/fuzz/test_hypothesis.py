"""Values that are drawn for an argument: a result, or an error that names an argument.

The calls are those of `mutations`, all of whose arguments but one stay as they are. Here the
values are not of a list: shapes, types and numbers are drawn. What is drawn follows from the
tests alone, so that a failure is the same everywhere.
"""

import math
import warnings
from collections import Counter
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from .mutations import ACCEPTED, UNCLEAR, Call, Mutation, calls, outcome

pytestmark = pytest.mark.usefixtures("as_users_run")
FEW, MANY = 50, 3000
PLAIN = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

# Of real numbers in half, single and double precision; those that are possible to compute with.
REAL = st.sampled_from(["float16", "float32", "float64", "int8", "int32", "int64"])
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, 1e30, -1e300, 5e-324]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-1000, 1000),
    # No sizes between these: arrays that a large machine may hold.
    st.integers(2**45, 2**70),
    st.integers(-(2**70), -(2**45)),
)
NO_ARRAYS = st.one_of(
    st.text(max_size=5),
    st.binary(max_size=5),
    st.builds(object),
    st.just(int),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sets(st.integers(), max_size=2),
)
NO_NUMBERS = st.sampled_from(["complex64", "complex128", "str", "object", "datetime64[D]"])


class Drawn(NamedTuple):
    """A value, and whether no argument of its kind may have it."""

    value: Any
    is_wrong: bool


def _cast(dtype: str, array: np.ndarray) -> np.ndarray:
    if dtype == "object":
        return np.full(array.shape, {}, object)
    if dtype.startswith("complex"):
        return array.astype(dtype) + 1j
    if dtype.startswith("datetime"):
        return np.full(array.shape, "2024-01-01", dtype)
    return np.full(array.shape, "a")


def _tables(array: np.ndarray) -> st.SearchStrategy[Any]:
    made: list[Any] = [array.tolist()]
    if array.ndim == 1:
        made += [pd.Series(array), pl.Series(array)]
    if array.ndim == 2:
        made += [pd.DataFrame(array), pl.DataFrame(array)]
    return st.sampled_from(range(len(made))).map(lambda i: made[i])


@cache
def of_shapes(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    """The shape itself; with one axis of another size, or empty; more axes, and fewer."""
    others = [shape, (1, *shape), (*shape, 1), (2, *shape), shape[1:], shape[:-1]]
    for axis in range(len(shape)):
        for size in (0, 1, shape[axis] + 1):
            others.append((*shape[:axis], size, *shape[axis + 1 :]))
    return st.sampled_from(others)


@st.composite
def other_arrays(draw: st.DrawFn, given: np.ndarray) -> Drawn:
    shape, dtype = draw(of_shapes(given.shape)), draw(REAL)
    if dtype.startswith("f"):
        width = {"float16": 16, "float32": 32, "float64": 64}[dtype]
        elements = st.floats(width=width)
    else:
        elements = st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)
    array = draw(arrays.arrays(dtype, shape, elements=elements))
    return Drawn(draw(st.one_of(st.just(array), _tables(array))), is_wrong=False)


def others(given: Any) -> st.SearchStrategy[Drawn]:
    """Other values for an argument of this value."""
    wrong = lambda value: Drawn(value, is_wrong=True)
    if isinstance(given, (bool, str)):  # flags and options
        return st.one_of(st.builds(object), st.just({}), st.just(1j), NUMBERS).map(
            lambda value: Drawn(value, is_wrong=not isinstance(given, bool))
        )
    if isinstance(given, (int, float)):
        scalars = st.one_of(NUMBERS, NUMBERS.filter(_is_small).map(np.float32))
        return st.one_of(
            NO_ARRAYS.map(wrong),
            st.complex_numbers(min_magnitude=1.0, allow_nan=False).map(wrong),
            scalars.map(lambda value: Drawn(value, is_wrong=False)),
        )
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        return st.nothing()
    return st.one_of(
        NO_ARRAYS.map(wrong),
        NO_NUMBERS.map(lambda dtype: wrong(_cast(dtype, np.zeros(array.shape)))),
        other_arrays(array),
    )


def _is_small(number: float) -> bool:
    return not math.isfinite(number) or abs(number) < 1e38


FOUND: dict[str, Call] = {}
# How many values came to what.
CAME: Counter[str] = Counter()


@st.composite
def drawn_mutations(draw: st.DrawFn) -> Mutation:
    """A call, one of its arguments, and a value for that."""
    FOUND.update(FOUND or calls())
    of = [
        (name, argument)
        for name, call in FOUND.items()
        for argument, value in call.arguments.items()
        if not others(value).is_empty
    ]
    name, argument = draw(st.sampled_from(of))
    value, is_wrong = draw(others(FOUND[name].arguments[argument]))
    return Mutation(name, argument, type(value).__name__, value, is_wrong)


def _holds(mutation: Mutation) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, text = outcome(FOUND[mutation.call], mutation)
    CAME[kind] += 1
    assert kind not in (ACCEPTED, UNCLEAR), (kind, text)


@settings(PLAIN, max_examples=FEW)
@given(drawn_mutations())
def test_a_result_or_an_error_that_names_an_argument(mutation):
    _holds(mutation)


@pytest.mark.slow
@settings(PLAIN, max_examples=MANY)
@given(drawn_mutations())
def test_the_same_of_many_values(mutation):
    _holds(mutation)
