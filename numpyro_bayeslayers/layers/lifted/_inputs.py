"""Inputs of a module that is mapped over rows."""

import math
from collections.abc import Sequence

from jaxtyping import Array, ArrayLike

from ... import _checks
from ..._base import split_plates


class Input:
    """One array of shape (*plates, *batch, *example) in the form used by `vmap`.

    `rows` has the axes (*plates, n, *example), with only the plates that the array has;
    `plate_axes` is 0 or None for each enclosing plate; `batch` is the original shape of n.
    """

    def __init__(self, x: ArrayLike, ndim: int, plates: tuple[int, ...]) -> None:
        x = _checks.array("x", x)
        if x.ndim < ndim:
            raise ValueError(
                f"`x`, each of the inputs, must have at least {ndim} axes, those of one example "
                f"(`in_ndim`={ndim}), got shape {x.shape}."
            )
        self.ndim = ndim
        example = x.shape[x.ndim - ndim :]
        lead, self.batch = split_plates(x.shape[: x.ndim - ndim], plates)
        lead = (1,) * (len(plates) - len(lead)) + lead
        has = [mine == size for mine, size in zip(lead, plates, strict=True)]
        own = tuple(size for size, is_own in zip(plates, has, strict=True) if is_own)
        self.plate_axes = [0 if is_own else None for is_own in has]
        self.rows = x.reshape(own + (math.prod(self.batch),) + example)

    def in_blocks(self, rows: tuple[int, ...]) -> Array:
        """The rows with the axis n split into `rows`, the axes of members and of their rows."""
        at = self.rows.ndim - 1 - self.ndim
        return self.rows.reshape(self.rows.shape[:at] + rows + self.rows.shape[at + 1 :])


def same_batch(inputs: Sequence[Input]) -> tuple[int, ...]:
    """The batch axes that all inputs have."""
    shapes = {x.batch for x in inputs}
    if not shapes:
        raise ValueError("`x` must have an array of rows, got none.")
    if len(shapes) != 1:
        raise ValueError(
            f"All inputs must have the same batch axes, got {sorted(shapes)}. Repeat inputs "
            "that are the same for all rows, or set `in_ndim`, the number of axes of one "
            "example."
        )
    return shapes.pop()
