"""The parts of a module that become batch ensembles, and the parameters of their members."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ...primitives import Site
from ..implicit._batch_ensemble import factor
from ._products import leaf_of, linear_modules
from ._table import Declared, path_of

_NO_PARTS = (
    "`batch_ensemble` must be None for this module: it has no `equinox.nn.Linear`, `Conv` or "
    "`ConvTranspose` that members could share, got {members}."
)


def member_modules(module: Any) -> dict[str, Any]:
    """The modules inside `module` whose inputs and outputs members scale, by path.

    Embeddings are excluded, since their integer inputs cannot be scaled.
    """
    found = linear_modules(module)
    return {p: m for p, m in found.items() if not isinstance(m, eqx.nn.Embedding)}


def member_paths(module: Any) -> set[str]:
    """The parameters of each member: two vectors and a bias for each part."""
    return {leaf_of(path, n) for path in member_modules(module) for n in ("r", "s", "bias")}


def check_batch(batch: tuple[int, ...], members: tuple[int, ...]) -> None:
    """Check that the inputs of a batch ensemble have a leading axis of members.

    Raises:
        ValueError: If they do not, or if there is no axis of rows after it.
    """
    if members and (len(batch) < 2 or batch[:1] != members):
        raise ValueError(
            f"The first axes of the inputs must be the {members[0]} members (`batch_ensemble`) "
            f"and the rows, got batch axes {batch}. For the same rows in each member: "
            f"tile_members(x, {members[0]})."
        )


def member_factors(module: Any, num_members: int) -> dict[str, Site]:
    """Register the two vectors of each member for each part; returns the sites by path."""
    sites = {}
    for path, part in member_modules(module).items():
        for name, size in zip("rs", _sizes(part), strict=True):
            leaf = leaf_of(path, name)
            sites[leaf] = factor(leaf, (num_members, size), "signs")
    return sites


def _sizes(part: Any) -> tuple[int, int]:
    """The numbers of input and output features or channels."""
    if isinstance(part, eqx.nn.Linear):
        return part.weight.shape[1], part.weight.shape[0]
    return part.in_channels, part.out_channels


def with_member_biases(module: PyTree, num_members: int) -> PyTree:
    """`module` with biases that have one row per member, for the table of priors.

    Raises:
        ValueError: If `module` has no part that could become a batch ensemble.
    """
    if not member_modules(module):
        raise ValueError(_NO_PARTS.format(members=num_members))
    paths = member_paths(module)

    def tiled(keys: Any, leaf: Any) -> Any:
        if path_of(keys) not in paths:
            return leaf
        return jnp.broadcast_to(leaf, (num_members, *jnp.shape(leaf)))

    return jax.tree_util.tree_map_with_path(tiled, module)


def with_shared_frozen(declared: Declared, module: PyTree) -> Declared:
    """The same, but with frozen biases shared by all members."""
    paths = member_paths(module)
    frozen = {p: leaf[0] if p in paths else leaf for p, leaf in declared.frozen.items()}
    return declared._replace(frozen=frozen)
