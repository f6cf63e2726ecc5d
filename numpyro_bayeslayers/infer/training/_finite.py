"""Find, name and leave out members with non-finite numbers."""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PyTree

from ... import _processes

MEND = "Use a smaller step size (`optim`), clip the gradients, or change the seed."


class Finite(NamedTuple):
    """Which members are finite.

    Args:
        which: Whether each member is finite.
        noun: The name of one of them: "member", "particle", "chain".
    """

    which: Bool[np.ndarray, " e"]
    noun: str = "member"

    @classmethod
    def of(cls, tree: PyTree, num_members: int, noun: str = "member") -> "Finite":
        """Members whose arrays in `tree` (with a leading axis of members) have no NaN or inf."""
        which = np.ones(num_members, bool)
        for leaf in jax.tree.leaves(tree):
            if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact):
                which &= np.isfinite(_processes.whole(leaf)).reshape(num_members, -1).all(1)
        return cls(which, noun)

    @property
    def are_all(self) -> bool:
        """Whether all members are finite."""
        return bool(self.which.all())

    @property
    def count(self) -> int:
        """The number of finite members."""
        return int(self.which.sum())

    def named(self) -> str:
        """The non-finite members as text: "members 1 and 3 of 8"."""
        numbers = [str(e) for e in np.flatnonzero(~self.which)]
        *most, last = numbers if len(numbers) <= 12 else [*numbers[:11], "others"]
        plural = "s" if most else ""
        listed = f"{', '.join(most)} and {last}" if most else last
        return f"{self.noun}{plural} {listed} of {len(self.which)}"

    def take(self, tree: PyTree) -> PyTree:
        """The entries of finite members (if any) in arrays with a leading axis of members."""
        if self.are_all or not self.count:
            return tree
        at = np.flatnonzero(self.which)
        return jax.tree.map(lambda x: x[at], tree)

    def warn_left_out(self, *, stacklevel: int = 2) -> None:
        """Warn about members that are left out, if any.

        Raises:
            ValueError: If no member is finite.
        """
        if not self.which.any():
            raise ValueError(
                f"None of the {len(self.which)} {self.noun}s is finite, so there are no draws. "
                f"{MEND}"
            )
        if not self.are_all:
            warnings.warn(
                f"Left out because of non-finite numbers: {self.named()}.",
                stacklevel=stacklevel + 1,
            )


def lowest(losses: Any, finite: Finite) -> int:
    """The finite member with the lowest last loss; losses of NaN or -inf are ignored."""
    last = np.asarray(losses)[:, -1].astype(float)
    is_real = np.isfinite(last) & finite.which
    return int(np.argmin(np.where(is_real, last, np.where(finite.which, 1e300, np.inf))))
