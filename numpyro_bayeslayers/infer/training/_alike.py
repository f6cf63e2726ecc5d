"""Members that cannot differ: they start alike, and nothing random parts them."""

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
from ._arguments import Arguments, on_shapes
from ._member import Member

_ALIKE = (
    "The {count} members are one: they start at the same values, and nothing random parts "
    "them. {mend} Or fit a single member."
)


def are_alike(params: PyTree) -> bool:
    """Whether there are several members, and all have the same parameters."""
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
    """Say that the members are one. `mend` is a sentence that says what would part them."""
    count = len(jax.tree.leaves(params)[0])
    warnings.warn(_ALIKE.format(count=count, mend=mend), stacklevel=stacklevel)


def is_random(member: Member, params: PyTree, parts: Arguments, rows: int) -> bool:
    """Whether a step draws: latent values that are no points, keys, or rows of a plate.

    Args:
        member: What one member does.
        params: The parameters of all members, as the optimizer sees them.
        parts: The arguments of model and guide.
        rows: The rows of a step.
    """
    draws = _draws()

    def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Any values will do, and a choice of a member's would be a program of its own.
        first = jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), params)
        values = member.constrained(first)
        with seed(rng_seed=0), draws, substitute(data=values):
            guided = trace(member.guide).get_trace(*args, **kwargs)
            feasible(replay(member.model, guided))(*args, **kwargs)

    on_shapes(run, parts, rows)
    return draws.found


class _draws(Messenger):  # noqa: N801
    """Notes whether anything is drawn that was not drawn further inside."""

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
