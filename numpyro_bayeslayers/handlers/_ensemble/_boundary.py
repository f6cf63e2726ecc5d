"""The border between the members' program and the world around it.

Under `jax.vmap` a member sees values of its own shape, and each is a tracer that holds the
values of all members. A tracer must not leave the `vmap`, so a value crosses the border by
`jax.custom_batching.custom_vmap`. Where JAX maps such a function it calls the function's
batching rule with the values of all members: eagerly, in program order, and *outside* of
the `vmap`. What is meant to give an operation a faster batched version serves here to run a
piece of Python, the handlers around the ensemble, one level up.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Int, PyTree

from ._axis import is_array

Out = TypeVar("Out")

_OUT_OF_REACH = (
    "A site of an ensemble's member is inside of {where}, where NumPyro's handlers cannot "
    "reach it. Take the site out of the transformed function, or use {instead}."
)


def for_all(
    index: Int[Array, ""],
    tree: PyTree,
    action: Callable[[PyTree], Any],
    template: Callable[[], Any] = lambda: None,
) -> Any:
    """Do in the program of one member what is done once for all of them.

    Args:
        index: The member's number: a value that surely differs between members, by which
            JAX knows which of several nested maps is meant.
        tree: What the action needs. Its arrays come to the action with a leading axis: an
            entry for each member, or a single one that all share. Other leaves stay.
        action: Runs when the program is mapped, outside of the map; returns arrays with one
            entry for each member, or None.
        template: Makes arrays of the shapes that one member gets back.

    Raises:
        ValueError: If a map within the member comes between the program and the members.
    """
    leaves, treedef = jax.tree.flatten(tree)

    @custom_vmap
    def operation(index: Array, *arrays: Array) -> Any:
        return template()

    @operation.def_vmap
    def rule(size: int, is_mapped: list[bool], index: Array, *arrays: Array) -> tuple:
        if not is_mapped[0]:
            error = _OUT_OF_REACH.format(where="`jax.vmap`", instead="`numpyro.plate`")
            raise ValueError(error)
        flags = zip(arrays, is_mapped[1:], strict=True)
        led = iter([x if has_members else x[None] for x, has_members in flags])
        led_leaves = [next(led) if is_array(x) else x for x in leaves]
        out = action(jax.tree.unflatten(treedef, led_leaves))
        return out, jax.tree.map(lambda _: True, out)

    return operation(index, *(jnp.asarray(x) for x in leaves if is_array(x)))


class Boundary:
    """A way out of, and back into, one `jax.vmap` whose member has the number `index`."""

    def __init__(self, index: Int[Array, ""]) -> None:
        self.index = index

    def outward(self, tree: PyTree, action: Callable[[PyTree], Out]) -> Out:
        """Run `action` outside, on what `tree` holds in all members; see `for_all`.

        What it returns belongs to the outside; `inward` brings arrays back.

        Raises:
            ValueError: If the member's program is inside of another transformation here.
        """
        results: list[Out] = []
        for_all(self.index, tree, lambda led: results.append(action(led)))
        if not results:
            where = "`jax.jit`, `jax.lax.scan` or another transformation"
            instead = "`scan` or `cond` of numpyro.contrib.control_flow"
            raise ValueError(_OUT_OF_REACH.format(where=where, instead=instead))
        return results[0]

    def inward(self, tree: PyTree) -> PyTree:
        """Give each member its entry of arrays with a leading axis."""

        def entry(x: Array) -> Array:
            # No gather: the array itself becomes what the member's tracer holds.
            is_shared = x.shape[0] == 1
            return x[0] if is_shared else for_all(self.index, (), lambda _: x, lambda: x[0])

        return jax.tree.map(entry, tree)
