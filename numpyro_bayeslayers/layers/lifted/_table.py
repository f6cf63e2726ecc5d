"""Declarations of parameters: patterns of paths, matched against the leaves of a module."""

import difflib
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, PyTree
from numpyro.distributions.constraints import Constraint

from ... import _checks

# An entry for a parameter: a prior, a function from the parameter's shape to a prior, the
# constraint of an optimized parameter, or None for a fixed one.
Entry: TypeAlias = (
    dist.Distribution | Callable[[tuple[int, ...]], dist.Distribution] | Constraint | None
)

_KINDS = (
    "a distribution, a function from a shape to a distribution, a constraint (an optimized "
    "parameter) or None (frozen)"
)


class Declared(NamedTuple):
    """The parameters of a module by path, sorted by their treatment.

    `frozen` and `start` are arrays of the module: fixed values, and initial values of
    optimized parameters. `priors` has distributions whose event is the whole parameter.
    """

    priors: dict[str, dist.Distribution]
    constraints: dict[str, Constraint]
    start: dict[str, Array]
    frozen: dict[str, Array]


def path_of(keys: Any) -> str:
    """The path of a leaf as users write it: ``layers.0.weight``."""
    return jax.tree_util.keystr(keys, simple=True, separator=".")


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array, of JAX or of NumPy."""
    return isinstance(leaf, (jax.Array, np.ndarray))


def declare(
    module: PyTree, table: Mapping[str, Entry], *, has_state: bool = False
) -> Declared:
    """Sort the arrays of `module` by the first pattern of `table` that matches their path.

    Raises:
        TypeError: If `table` is not a mapping, or if an entry has the wrong type.
        ValueError: If the module has a state that is not given, a leaf has no entry, a
            pattern matches no leaf, a prior has the wrong shape, or an initial value
            violates its constraint.
    """
    _checks.instance("priors", table, Mapping, "a mapping from patterns to priors")
    if not has_state:
        check_stateless(module)
    arrays = {
        path_of(keys): jnp.asarray(leaf)
        for keys, leaf in jax.tree_util.tree_leaves_with_path(module)
        if is_array(leaf)
    }
    numbers = [path for path, leaf in arrays.items() if eqx.is_inexact_array_like(leaf)]
    if not numbers:
        raise ValueError(
            f"`module` has no arrays of floating point numbers to lift, got {module!r}."
        )
    entries = _match(numbers, table)
    found = Declared({}, {}, {}, {})
    for path, leaf in arrays.items():
        entry = entries.get(path)
        if entry is None:
            found.frozen[path] = leaf
        elif isinstance(entry, Constraint):
            _check_start(path, leaf, entry)
            found.constraints[path] = entry
            found.start[path] = leaf
        else:
            found.priors[path] = _prior(path, entry, leaf.shape)
    if not found.priors and not found.constraints:
        raise ValueError("`priors` freezes every parameter: nothing is left to infer.")
    return found


def check_stateless(module: PyTree) -> None:
    """Check that the module has no state.

    Raises:
        ValueError: If it has one.
    """
    is_state = lambda leaf: isinstance(leaf, eqx.nn.StateIndex)
    for keys, leaf in jax.tree_util.tree_leaves_with_path(module, is_leaf=is_state):
        if is_state(leaf):
            raise ValueError(
                f"`state` must be given, since the module has one at {path_of(keys)!r} "
                "(`equinox.nn.StateIndex`): `module, state = equinox.nn.make_with_state(Net)"
                "(...)`, then `lift(module, priors, state=state)`. LayerNorm, GroupNorm and "
                "WeightNorm have none."
            )


def _match(paths: list[str], table: Mapping[str, Entry]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    used: set[str] = set()
    for path in paths:
        for pattern, entry in table.items():
            if _fits(pattern, path):
                entries[path] = entry
                used.add(pattern)
                break
    missing = [path for path in paths if path not in entries]
    if missing:
        raise ValueError(
            f"`priors` has no entry for {', '.join(missing)}. Add a pattern that matches; "
            "None keeps a parameter at its value."
        )
    for pattern in table:
        if pattern not in used:
            raise ValueError(_unused(pattern, paths))
    return entries


def _fits(pattern: str, path: str) -> bool:
    """Match a pattern; ``*.weight`` also matches the weight of the module itself."""
    return fnmatchcase(path, pattern) or fnmatchcase(f".{path}", pattern)


def _unused(pattern: str, paths: list[str]) -> str:
    if any(_fits(pattern, path) for path in paths):
        return (
            f"The pattern {pattern!r} of `priors` is never reached: earlier patterns match all "
            "its parameters. Move it before them."
        )
    close = difflib.get_close_matches(pattern, paths, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"The pattern {pattern!r} of `priors` matches no parameter of the module, which has "
        f"{', '.join(paths)}.{hint}"
    )


def _prior(path: str, entry: Entry, shape: tuple[int, ...]) -> dist.Distribution:
    """The entry as a distribution over an array of `shape`."""
    is_rule = callable(entry) and not isinstance(entry, dist.Distribution)
    prior = entry(shape) if is_rule else entry
    if not isinstance(prior, dist.Distribution):
        given = type(prior).__name__
        raise TypeError(f"The entry of {path!r} must be {_KINDS}, got {prior!r} ({given}).")
    event = prior.event_dim
    free = len(shape) - event
    fits = free >= 0 and prior.event_shape == shape[free:]
    fits = fits and len(prior.batch_shape) <= free
    if fits:
        sizes = zip(reversed(prior.batch_shape), reversed(shape[:free]), strict=False)
        fits = all(size in (1, wanted) for size, wanted in sizes)
    if not fits:
        raise ValueError(
            f"The prior of {path!r} has shape {prior.shape()} with {event} event axes, which "
            f"does not expand to the parameter's shape {shape}."
        )
    return prior.expand(shape[:free]).to_event(free)


def _check_start(path: str, value: Array, constraint: Constraint) -> None:
    if not isinstance(value, jax.core.Tracer) and not jnp.all(constraint(value)):
        raise ValueError(
            f"The initial value of {path!r} must satisfy {constraint!r}, got {value}. Change it "
            "in the module (`equinox.tree_at`) before lifting."
        )
