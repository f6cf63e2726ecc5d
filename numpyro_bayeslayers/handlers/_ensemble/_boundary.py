"""The boundary between the members' program and the program around it.

Under `jax.vmap` a member sees values of its own shape, each of which is a tracer that holds the
values of all members. A tracer must not leave the `vmap`, so a value crosses the boundary by
`jax.custom_batching.custom_vmap`. When JAX maps such a function, it calls the function's
batching rule with the values of all members: eagerly, in program order, and *outside* the
`vmap`. This mechanism is meant for faster batched versions of operations; here it runs Python
code, the handlers around the ensemble, one level up.
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
    "A site of an ensemble's member is inside {where}, where NumPyro's handlers cannot "
    "reach it. Take the site out of the transformed function, or use {instead}."
)


def for_all(
    index: Int[Array, ""],
    tree: PyTree,
    action: Callable[[PyTree], Any],
    template: Callable[[], Any] = lambda: None,
) -> Any:
    """Run an action once for all members from within the program of one member.

    Args:
        index: The member's number: a value that differs between members, from which JAX knows
            which of several nested maps is meant.
        tree: The input of the action, which receives its arrays with a leading axis: one entry
            for each member, or a single shared one. Other leaves are unchanged.
        action: Function that runs outside the map when the program is mapped, and returns
            arrays with one entry for each member, or None.
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
    """The way out of, and back into, one `jax.vmap` whose member has the number `index`."""

    def __init__(self, index: Int[Array, ""]) -> None:
        self.index = index

    def outward(self, tree: PyTree, action: Callable[[PyTree], Out]) -> Out:
        """Run `action` outside, on the values of `tree` in all members; see `for_all`.

        Its result belongs to the outside; `inward` brings arrays back.

        Raises:
            ValueError: If the member's program is inside another transformation here.
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
            # No gather: the array itself becomes the value of the member's tracer.
            is_shared = x.shape[0] == 1
            return x[0] if is_shared else for_all(self.index, (), lambda _: x, lambda: x[0])

        return jax.tree.map(entry, tree)
