"""The effort with which XLA compiles a program for the CPU, chosen by the amount of work.

Programs that run once, or for a few thousand small steps, finish sooner with less optimization.
The rule uses only shapes and repetitions and no timings, since the last digits of a result may
depend on how its program was compiled.
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

#: An optimization level of XLA; None for its default.
Effort = Literal[0, 1] | None

# The work of a step is its rows times its values, plus this constant. The thresholds were
# measured on two cores, for a regression and for networks: there, slower steps cost as much as
# was saved in compiling. For 5,000 steps of a regression on 2,000 rows (7.5e8), the first level
# saves 0.6 s of 3 s and costs 0.3 s in each further run.
_STEP = 50_000
_MOST: dict[Effort, float] = {0: 8e8, 1: 3e10}
# The number of draws whose median is the initial value of autoguides.
_DRAWS = 15

# Options that save time at any level, if the installed XLA has them (JAX 0.12 has dropped the
# first). Small programs compile faster in one piece than in many.
_SPARING = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
_CHEAP: dict[str, Any] = {"xla_llvm_disable_expensive_passes": True}
_LEVEL = "xla_backend_optimization_level"


def effort(repeats: int, rows: int, *trees: PyTree) -> Effort:
    """The compilation effort for a program that repeats a step.

    Args:
        repeats: The number of repetitions.
        rows: The number of rows per step.
        trees: The arrays used for each row: the training state, or parameters.
    """
    return _effort_of(repeats * (_STEP + rows * _size(trees)))


def _size(tree: PyTree) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree) if is_dynamic(x))


def _effort_of(work: int) -> Effort:
    if jax.default_backend() != "cpu" or get_opaque_trace_state() != TOP:
        return None  # options apply only to top-level programs
    if _LEVEL in os.environ.get("XLA_FLAGS", ""):
        return None  # set by the user
    return next((level for level, most in _MOST.items() if work <= most), None)


def options(level: Effort) -> dict[str, Any] | None:
    """The compiler options of `jax.jit` for an effort."""
    if level is None:
        return None
    sparing = {name: v for name, v in _SPARING.items() if _is_known(name, v)}
    return {_LEVEL: level, **_CHEAP, **sparing}


def once(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays that runs rarely: evaluated by NumPy, or compiled with little effort."""
    compiled = functools.cache(lambda level: jax.jit(fn, compiler_options=options(level)))

    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        return compiled(_effort_of(_DRAWS * _size(args)))(*args)

    return seldom(fn, call)


@functools.cache
def _is_known(option: str, value: Any) -> bool:
    """Whether the installed XLA accepts this option and value."""
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options={option: value})
    except Exception:
        return False
    return True
