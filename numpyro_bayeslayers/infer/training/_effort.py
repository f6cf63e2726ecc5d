"""How dearly XLA compiles a program for the CPU: as its work justifies.

What runs once, or a few thousand small steps, is done sooner when XLA optimizes less. The
rule counts work by shapes and repetitions alone, never by the clock: the last digits of a
result may depend on how its program was compiled.
"""

import functools
import math
import os
from collections.abc import Callable
from typing import Any, Literal

import jax
from jax.extend.core import get_opaque_trace_state
from jaxtyping import PyTree

from ._host import TOP, seldom
from ._jit import is_dynamic

#: A level of optimization of XLA; None for its own.
Effort = Literal[0, 1] | None

# A step counts its rows times its values, and as much again as so many for itself. Measured
# on two cores, for a regression and for networks: where the steps that run more slowly take
# as long as was saved in compiling. Of 5,000 steps of a regression on 2,000 rows (7.5e8) the
# first level saves 0.6 s of 3, and costs 0.3 s in each further run.
_STEP = 50_000
_MOST: dict[Effort, float] = {0: 8e8, 1: 3e10}
# Autoguides start at the median of so many draws.
_DRAWS = 15

# What spares time at any level, where the installed XLA knows it: JAX 0.12 has dropped the
# first. Programs as small as ours are compiled sooner in one piece than in many.
_SPARING = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
_CHEAP: dict[str, Any] = {"xla_llvm_disable_expensive_passes": True}
_LEVEL = "xla_backend_optimization_level"


def effort(repeats: int, rows: int, *trees: PyTree) -> Effort:
    """The effort for a program that repeats a step.

    Args:
        repeats: How often.
        rows: The rows that a step sees.
        trees: The arrays that each row meets: the state of the training, or parameters.
    """
    return _effort_of(repeats * (_STEP + rows * _size(trees)))


def _size(tree: PyTree) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree) if is_dynamic(x))


def _effort_of(work: int) -> Effort:
    if jax.default_backend() != "cpu" or get_opaque_trace_state() != TOP:
        return None  # options are for programs on their own
    if _LEVEL in os.environ.get("XLA_FLAGS", ""):
        return None  # the user has chosen
    return next((level for level, most in _MOST.items() if work <= most), None)


def options(level: Effort) -> dict[str, Any] | None:
    """The options of `jax.jit` for an effort."""
    if level is None:
        return None
    sparing = {name: v for name, v in _SPARING.items() if _is_known(name, v)}
    return {_LEVEL: level, **_CHEAP, **sparing}


def once(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays that runs once, or seldom: by NumPy, or compiled cheaply."""
    compiled = functools.cache(lambda level: jax.jit(fn, compiler_options=options(level)))

    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        return compiled(_effort_of(_DRAWS * _size(args)))(*args)

    return seldom(fn, call)


@functools.cache
def _is_known(option: str, value: Any) -> bool:
    """Whether the installed XLA has an option that takes this value."""
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options={option: value})
    except Exception:
        return False
    return True
