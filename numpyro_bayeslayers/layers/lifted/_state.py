"""The state of a module between calls, such as the running means of batch normalization."""

from collections.abc import Hashable
from typing import Any

import equinox as eqx
import jax
from jax import lax
from jaxtyping import Array, PyTree
from numpyro.primitives import mutable

from ... import _checks, primitives

_NONE = (
    "`state` must be left out: the module has no state (no `equinox.nn.StateIndex`, which batch "
    "and spectral normalization have)."
)
_AXES = (
    "`module` must have one name for the axis of its rows, got {names}. Give each "
    "`equinox.nn.BatchNorm` the same `axis_name`."
)


class State(eqx.Module):
    """The initial state of a module, and the name of the axis of rows that it refers to."""

    first: list[Array]
    structure: Any = eqx.field(static=True)
    axis: Hashable = eqx.field(static=True)

    @classmethod
    def of(cls, module: PyTree, state: Any) -> "State":
        """Check the state that was given for a module.

        Raises:
            TypeError: If it is not a state.
            ValueError: If the module has none, or normalizes over axes of several names.
        """
        _checks.instance("state", state, eqx.nn.State, "the equinox.nn.State of the module")
        if not any(map(_is_index, jax.tree.leaves(module, is_leaf=_is_index))):
            raise ValueError(_NONE)
        is_norm = lambda leaf: isinstance(leaf, eqx.nn.BatchNorm)
        norms = [x for x in jax.tree.leaves(module, is_leaf=is_norm) if is_norm(x)]
        names = list(dict.fromkeys(norm.axis_name for norm in norms))
        if len(names) > 1:
            raise ValueError(_AXES.format(names=names))
        leaves, structure = jax.tree.flatten(state)
        return cls(leaves, structure, names[0] if names else "batch")

    def enter(self) -> "Held":
        """The current state, read inside the scope of its layer."""
        first: Any = {"leaves": self.first}
        kept: Any = mutable("state", first)
        return Held(self, kept, is_training=primitives.is_replayed())


class Held:
    """A state during one call.

    Args:
        of: The initial state.
        kept: The mutable value that stores the state.
        is_training: Whether the module updates it.
    """

    def __init__(self, of: State, kept: Any, *, is_training: bool) -> None:
        self.axis = of.axis
        self._structure = of.structure
        self._kept = kept
        self._leaves = [lax.stop_gradient(x) for x in kept["leaves"]]
        self._is_training = is_training

    def state(self) -> eqx.nn.State:
        """The state in the form that the module takes."""
        return jax.tree.unflatten(self._structure, self._leaves)

    def of(self, module: Any, *, is_alone: bool) -> Any:
        """The module in training mode, or in inference mode, which uses the state unchanged.

        Args:
            module: The module.
            is_alone: Whether it is run on a single row that is not part of a map.
        """
        is_at_rest = is_alone or not self._is_training
        switch = lambda node: _switched(node, is_at_rest) if _has_state(node) else node
        return jax.tree.map(switch, module, is_leaf=_has_state)

    def leave(self, leaves: list[Array]) -> None:
        """Store the state after the call."""
        if self._is_training:
            self._kept["leaves"] = [lax.stop_gradient(x) for x in leaves]


def _is_index(leaf: Any) -> bool:
    return isinstance(leaf, eqx.nn.StateIndex)


def _has_state(node: Any) -> bool:
    """Whether a module has its own state, and a field `inference` that freezes it."""
    if not isinstance(node, eqx.Module) or not hasattr(node, "inference"):
        return False
    return any(_is_index(value) for value in vars(node).values())


def _switched(module: Any, is_at_rest: bool) -> Any:
    return eqx.tree_at(lambda m: m.inference, module, is_at_rest)
