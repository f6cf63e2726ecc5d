"""Detect members that cannot differ: equal initial values and no randomness."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import PyTree
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.primitives import Messenger

from ... import _processes
from ..._typing import Message
from ...handlers._feasible import feasible
from ..rows._arguments import Arguments, on_shapes
from ._member import Member

_ALIKE = (
    "The {count} members are identical: they have the same initial values, and training is "
    "deterministic. {mend} Or fit a single member."
)


def are_alike(params: PyTree) -> bool:
    """Whether there are several members and all have the same parameters."""
    leaves = [x for x in jax.tree.leaves(params) if isinstance(x, jax.Array)]
    if not leaves or len(leaves[0]) < 2:
        return False
    if _processes.are_shared(leaves):
        return bool(_processes.whole(_are_equal(leaves)))
    return all((np.asarray(x) == np.asarray(x)[:1]).all() for x in leaves)


@jax.jit
def _are_equal(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack([(x == x[:1]).all() for x in leaves]).all()


def warn_alike(params: PyTree, mend: str, *, stacklevel: int = 3) -> None:
    """Warn that the members are identical. `mend` is a sentence with the remedy."""
    count = len(jax.tree.leaves(params)[0])
    warnings.warn(_ALIKE.format(count=count, mend=mend), stacklevel=stacklevel)


def is_random(member: Member, params: PyTree, parts: Arguments, rows: int) -> bool:
    """Whether a step uses randomness: latent draws, random keys, or rows chosen by a plate.

    Args:
        member: What one member does.
        params: The parameters of all members, as the optimizer sees them.
        parts: The arguments of model and guide.
        rows: The number of rows of a step.
    """
    draws = _draws()

    def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Any values will do; selecting those of a member would compile another program.
        first = jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), params)
        values = member.constrained(first)
        with seed(rng_seed=0), draws, substitute(data=values):
            guided = trace(member.guide).get_trace(*args, **kwargs)
            feasible(replay(member.model, guided))(*args, **kwargs)

    on_shapes(run, parts, rows)
    return draws.found


class _draws(Messenger):  # noqa: N801
    """Records whether anything is drawn that was not drawn by an inner handler."""

    found = False

    def process_message(self, msg: Message) -> None:
        if msg["value"] is not None:
            return
        if msg["type"] == "sample":
            fn = msg["fn"]
            while isinstance(fn, (dist.Independent, dist.ExpandedDistribution)):
                fn = fn.base_dist
            self.found |= not msg["is_observed"] and not isinstance(fn, dist.Delta)
        elif msg["type"] == "plate":
            size, part = msg["args"]
            self.found |= part is not None and part < size
        elif msg["type"] in ("prng_key", "control_flow"):
            self.found = True
