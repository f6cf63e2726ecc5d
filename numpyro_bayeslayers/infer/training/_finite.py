"""Members whose numbers are not finite: found, named and left out."""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PyTree

from ... import _processes

MEND = "Take a smaller step (`optim`), clip the gradients, or change the seed."


class Finite(NamedTuple):
    """Which members can be used.

    Args:
        which: Whether each member is finite.
        noun: What one of them is called: "member", "particle", "chain".
    """

    which: Bool[np.ndarray, " e"]
    noun: str = "member"

    @classmethod
    def of(cls, tree: PyTree, num_members: int, noun: str = "member") -> "Finite":
        """Members whose arrays in `tree`, which lead with the members, hold no NaN or inf."""
        which = np.ones(num_members, bool)
        for leaf in jax.tree.leaves(tree):
            if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact):
                which &= np.isfinite(_processes.whole(leaf)).reshape(num_members, -1).all(1)
        return cls(which, noun)

    @property
    def are_all(self) -> bool:
        """Whether no member is left out."""
        return bool(self.which.all())

    @property
    def count(self) -> int:
        """How many can be used."""
        return int(self.which.sum())

    def named(self) -> str:
        """The members that are left out, and of how many: "members 1 and 3 of 8"."""
        numbers = [str(e) for e in np.flatnonzero(~self.which)]
        *most, last = numbers if len(numbers) <= 12 else [*numbers[:11], "others"]
        plural = "s" if most else ""
        listed = f"{', '.join(most)} and {last}" if most else last
        return f"{self.noun}{plural} {listed} of {len(self.which)}"

    def take(self, tree: PyTree) -> PyTree:
        """Of arrays that lead with the members, those of finite ones, if there is one."""
        if self.are_all or not self.count:
            return tree
        at = np.flatnonzero(self.which)
        return jax.tree.map(lambda x: x[at], tree)

    def warn_left_out(self, *, stacklevel: int = 2) -> None:
        """Name the members that are left out, if there are some.

        Raises:
            ValueError: If none is left.
        """
        if not self.which.any():
            raise ValueError(
                f"None of the {len(self.which)} {self.noun}s is finite, so nothing can be "
                f"drawn. {MEND}"
            )
        if not self.are_all:
            warnings.warn(
                f"Left out, since they are not finite: {self.named()}.",
                stacklevel=stacklevel + 1,
            )


def lowest(losses: Any, finite: Finite) -> int:
    """The finite member of the lowest last loss; losses of NaN or -inf are no losses."""
    last = np.asarray(losses)[:, -1].astype(float)
    is_real = np.isfinite(last) & finite.which
    return int(np.argmin(np.where(is_real, last, np.where(finite.which, 1e300, np.inf))))
