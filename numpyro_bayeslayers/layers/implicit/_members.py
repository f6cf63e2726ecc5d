"""The axis of the members, left of the rows."""

import abc

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ..._base import AbstractRowLayer, AbstractVar, on_rows, split_plates
from ...primitives import plate_shape


def tile_members(
    x: Num[ArrayLike, "*batch n d_in"], num_members: int
) -> Num[Array, "*rest n d_in"]:
    """Repeat the same rows for each member: (n, in) becomes (e, n, in).

    The result is the input of the first layer of an implicit ensemble. The members' axis is the
    first one, right of the axes of enclosing plates. Nothing is copied until a layer multiplies
    the rows by values that differ between members.

    Args:
        x: Rows; their features are the last axis.
        num_members: Number of members, equal to that of the layers.

    Raises:
        ValueError: If `x` has fewer than two axes, or `num_members` is not positive.
        TypeError: If `num_members` is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> tile_members(jnp.ones((5, 3)), 4).shape
        (4, 5, 3)
    """
    num_members = _checks.size("num_members", num_members)
    x = _checks.array("x", x)
    if x.ndim < 2:
        raise ValueError(
            f"`x` must have an axis of rows and one of features, got shape {x.shape}. One "
            "feature is a column: x[:, None]."
        )
    lead, rows = split_plates(x.shape[:-1], plate_shape())
    tiled = jnp.expand_dims(x, len(lead))
    return jnp.broadcast_to(tiled, lead + (num_members,) + rows + x.shape[-1:])


def check_members(x: Array, num_members: int, name: str = "x") -> tuple[int, ...]:
    """The leading plate axes of `x`, an argument called `name`; the next is that of members.

    Raises:
        ValueError: If the next axis is not that of the members, or no axis of rows follows.
    """
    lead, rows = split_plates(x.shape[:-1], plate_shape())
    if len(rows) < 2 or rows[0] != num_members:
        plates = f", right of the plates {plate_shape()}" if plate_shape() else ""
        raise ValueError(
            f"`{name}` must have the shape ({num_members}, rows, features): one block of rows for "
            f"each of the {num_members} members (`num_members`){plates}, got shape {x.shape}. "
            f"For the same rows in each member: tile_members({name}, {num_members})."
        )
    return lead


class AbstractMemberLayer(AbstractRowLayer):
    """A layer that maps each member's rows, (e, *batch, in) to (e, *batch, out).

    Subclasses have a field `num_members` and implement `_members`. The first axis of the
    input, right of those of the enclosing plates, is that of the members.
    """

    num_members: AbstractVar[int]

    @abc.abstractmethod
    def _members(self, x: Num[Array, "*plates e n d_in"]) -> Num[Array, "*rest e n d_out"]:
        """Draw this layer's sites and apply them to each member's rows."""

    def _forward(self, x: Num[ArrayLike, "*batch d_in"]) -> Num[Array, "*rest d_out"]:
        x = _checks.array("x", x)
        _checks.last_axis("x", x, "in_features", self.in_features)
        check_members(x, self.num_members)
        return on_rows(self._rows, x, self.in_features)

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Num[Array, "*rest n d_out"]:
        num_rows = x.shape[-2] // self.num_members
        shape = (self.num_members, num_rows)
        out = self._members(x.reshape(x.shape[:-2] + shape + x.shape[-1:]))
        return merge_members(out)


def merge_members(x: Num[Array, "*plates e n d"]) -> Num[Array, "*plates rows d"]:
    """The rows of all members, concatenated."""
    return x.reshape(x.shape[:-3] + (x.shape[-3] * x.shape[-2], x.shape[-1]))
