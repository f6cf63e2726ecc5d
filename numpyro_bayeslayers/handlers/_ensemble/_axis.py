"""The position of the members' axis in a shape: the only file that counts axes.

NumPyro counts batch axes from the right. The members of an ensemble get the batch axis just
left of all those that one member's plates can use, ``dim = -(nesting + 1)``. With nesting 1:

    one member       w (in, out)         y (N,)       z (2, 1), enumerated
    E members        w (E, 1, in, out)   y (E, N)     z (2, E, 1)

In between is the layout of values under `jax.vmap`: one leading axis, of size E for values that
differ between members, and of size 1 for shared values.

    leading          w (E, in, out)      y (E, N)     z (1, 2, 1), the same for all
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree


def is_array(x: Any) -> bool:
    """Whether `x` can have a member axis; numbers and other objects are constants."""
    return isinstance(x, (jax.Array, np.ndarray, np.generic))


def leading(x: ArrayLike) -> Array:
    """`x` with the leading axis that arrays, but not numbers, get at the boundary."""
    return jnp.asarray(x) if is_array(x) else jnp.asarray(x)[None]


class MemberAxis(NamedTuple):
    """The batch axis of `size` members, with `nesting` batch axes on its right."""

    size: int
    nesting: int

    @property
    def dim(self) -> int:
        """The axis, counted as in NumPyro's plates."""
        return -self.nesting - 1

    def deeper(self, ndim: int) -> "MemberAxis":
        """The same axis, for arrays whose last `ndim` batch axes count as event axes here."""
        return self._replace(nesting=self.nesting + ndim)

    def batch_shape(self, member: tuple[int, ...]) -> tuple[int, ...]:
        """The batch shape of all members, from that of one.

        Example:
            >>> MemberAxis(size=4, nesting=1).batch_shape(())
            (4, 1)
            >>> MemberAxis(size=4, nesting=1).batch_shape((2, 7))
            (2, 4, 7)
        """
        cut = max(len(member) - self.nesting, 0)
        ones = (1,) * (self.nesting - len(member))
        return member[:cut] + (self.size,) + ones + member[cut:]

    def insert(self, x: Array, event_dim: int) -> Array:
        """Move a leading member axis to its position among the batch axes.

        Example:
            >>> MemberAxis(size=4, nesting=1).insert(jnp.ones((4, 3)), event_dim=1).shape
            (4, 1, 3)
        """
        batch_ndim = x.ndim - 1 - event_dim
        if batch_ndim > self.nesting:
            return jnp.moveaxis(x, 0, batch_ndim - self.nesting)
        ones = (1,) * (self.nesting - batch_ndim)
        return x.reshape(x.shape[:1] + ones + x.shape[1:])

    def pull(self, x: ArrayLike, event_dim: int, batch_ndim: int = 0) -> Array:
        """Move the member axis to the front, where one member has `batch_ndim` batch axes.

        The inverse of `insert`. Singleton axes that stand for the plates of other sites are
        dropped; batch axes left of the members (enumeration) are kept.

        Raises:
            ValueError: If the axis has a size that is neither 1 nor that of the ensemble.

        Example:
            >>> MemberAxis(size=4, nesting=1).pull(jnp.ones((4, 1, 3)), event_dim=1).shape
            (4, 3)
            >>> MemberAxis(size=4, nesting=1).pull(jnp.ones(3), event_dim=1).shape
            (1, 3)
        """
        x = jnp.asarray(x)
        axis = x.ndim - event_dim - self.nesting - 1
        x = x[None] if axis < 0 else jnp.moveaxis(x, axis, 0)
        if x.shape[0] not in (1, self.size):
            raise ValueError(
                f"There must be 1 entry, or {self.size} for the members, got {x.shape[0]}."
            )
        batch = x.shape[1 : x.ndim - event_dim]
        while len(batch) > batch_ndim and batch[0] == 1:
            batch = batch[1:]
        return x.reshape(x.shape[:1] + batch + x.shape[x.ndim - event_dim :])

    def spread(self, x: Array) -> Array:
        """Broadcast the leading axis to one entry for each member, if they share one."""
        return jnp.broadcast_to(x, (self.size,) + x.shape[1:])

    def vmap(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Map `fn` over the leading axes of its arguments; axes of size 1 are shared."""

        def mapped(*args: PyTree) -> Any:
            leaves, treedef = jax.tree.flatten(args)
            is_shared = [x.shape[0] != self.size for x in leaves]
            leaves = [x[0] if s else x for x, s in zip(leaves, is_shared, strict=True)]
            run = jax.vmap(
                lambda leaves: fn(*jax.tree.unflatten(treedef, leaves)),
                in_axes=([None if s else 0 for s in is_shared],),
                axis_size=self.size,
            )
            return run(leaves)

        return mapped
