"""Seeds, data and parameters as users hand them in."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import _checks
from ..._typing import Params, PRNGKey, Seed as Seed
from ...preprocessing.schema import as_array


def as_key(seed: Any) -> PRNGKey:
    """The random key that `seed`, an integer or a key already, stands for."""
    return _checks.random_key("seed", seed)


def init_and_shuffle_keys(key: PRNGKey) -> tuple[PRNGKey, PRNGKey]:
    """One key for the members' starts and one for the order of the rows."""
    init_key, shuffle_key = jax.random.split(key)
    return init_key, shuffle_key


def as_arrays(params: Params) -> Params:
    """`params` with its numbers and NumPy arrays as JAX arrays; other leaves stay.

    A number that is not a boolean becomes a floating-point array, so that it is trained. Every
    array gets a fixed type (not a "weak" one), so that the first step changes no types.
    """

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, (jax.Array, np.ndarray)):
            is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            return leaf if is_key else jnp.asarray(leaf, dtype=jnp.result_type(leaf))
        if isinstance(leaf, (bool, str, bytes)):
            return leaf
        if isinstance(leaf, (int, float, complex)):
            dtype = complex if isinstance(leaf, complex) else float
            return jnp.asarray(leaf, dtype=jnp.result_type(dtype))
        if isinstance(leaf, np.generic):
            return convert(np.asarray(leaf))
        return leaf

    return jax.tree.map(convert, params)


def named_leaves(**data: Any) -> dict[str, Any]:
    """The arrays of each pytree by name: ``x``, or ``x['age']`` inside a container."""
    return {
        name + jax.tree_util.keystr(path): leaf
        for name, tree in data.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def as_data(**data: Any) -> dict[str, Any]:
    """Pytrees whose arrays JAX takes for what they are; other leaves stay.

    Raises:
        TypeError: If a leaf is a table, or an array of dates or words.
        ValueError: If an array has masked entries.
    """
    pairs, structure = jax.tree_util.tree_flatten_with_path(data)
    leaves = [as_array(_label(path), leaf) for path, leaf in pairs]
    return jax.tree_util.tree_unflatten(structure, leaves)


def _label(path: Any) -> str:
    return f"{path[0].key}{jax.tree_util.keystr(path[1:])}"


def row_count(**data: Any) -> int:
    """The number of rows that all arrays of all pytrees have."""
    leaves = named_leaves(**data)
    if not leaves:
        names = " and ".join(f"`{name}`" for name in data)
        raise ValueError(f"{names} must hold at least one array of rows, got none.")
    count = _checks.same_length(**leaves)
    if count < 1:
        raise ValueError("The data must have at least one row, got none.")
    return count


def check_data(**data: Any) -> int:
    """The data has one row count, which is returned, and no entry that is NaN or infinite."""
    count = row_count(**data)
    for name, leaf in named_leaves(**data).items():
        _checks.no_nan(name, leaf)
    return count
