"""Estimate the memory of a program from its shapes."""

import math
from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

#: The memory limit in bytes of the intermediate values of a prediction. It is the same on all
#: machines, so that results do not depend on the machine.
MOST_BYTES = 2**31

# Operations whose body runs repeatedly: its intermediate values are added to all outputs.
_LOOPS = ("scan", "while")


def peak_bytes(program: ClosedJaxpr | Jaxpr) -> int:
    """The peak memory in bytes, without the inputs, if each operation runs by itself.

    The compiler fuses operations and needs less, so this is an upper estimate; it grows with
    the arrays of the program.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> chain = lambda x: jnp.cos(jnp.sin(x[:, None] * x)).sum()
        >>> peak_bytes(jax.make_jaxpr(chain)(jnp.ones(100))) // 100**2
        8
    """
    return _peak(program.jaxpr if isinstance(program, ClosedJaxpr) else program, {})


def output_bytes(program: ClosedJaxpr) -> int:
    """The size of the outputs of a program in bytes."""
    return sum(_size(v) for v in program.jaxpr.outvars)


def _peak(program: Jaxpr, seen: dict[int, int]) -> int:
    if id(program) in seen:
        return seen[id(program)]
    last = {v: i for i, step in enumerate(program.eqns) for v in _variables(step.invars)}
    last |= dict.fromkeys(_variables(program.outvars), len(program.eqns))
    ends: dict[int, int] = {}
    held = peak = 0
    for i, step in enumerate(program.eqns):
        given = sum(_size(v) for v in step.outvars)
        inner = max((_peak(part, seen) for part in _parts(step.params)), default=0)
        is_loop = step.primitive.name in _LOOPS
        peak = max(peak, held + (given + inner if is_loop else max(given, inner)))
        for v in step.outvars:
            end = last.get(v, i)
            ends[end] = ends.get(end, 0) + _size(v)
        held += given - ends.pop(i, 0)
    seen[id(program)] = peak
    return peak


def _variables(values: list[Any]) -> list[Any]:
    return [v for v in values if not isinstance(v, Literal)]


def _parts(params: Any) -> Iterator[Jaxpr]:
    """The programs inside an operation."""
    for value in params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, Jaxpr):
                yield part


def _size(value: Any) -> int:
    shape, dtype = getattr(value.aval, "shape", ()), getattr(value.aval, "dtype", None)
    return 0 if dtype is None else math.prod(shape) * dtype.itemsize
