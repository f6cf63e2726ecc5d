"""Conversion of users' seeds, data and parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import _checks
from ..._typing import Params, PRNGKey, Seed as Seed
from ...preprocessing.schema import as_array


def as_key(seed: Any) -> PRNGKey:
    """The random key for `seed`, an integer or a key."""
    return _checks.random_key("seed", seed)


def init_and_shuffle_keys(key: PRNGKey) -> tuple[PRNGKey, PRNGKey]:
    """A key for the members' initial values and a key for the order of rows."""
    init_key, shuffle_key = jax.random.split(key)
    return init_key, shuffle_key


def as_arrays(params: Params) -> Params:
    """`params` with numbers and NumPy arrays converted to JAX arrays; other leaves are kept.

    Numbers other than booleans become floating-point arrays, so that they are trained. All
    arrays get a strong dtype, so that the first step does not change dtypes.
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
    """Pytrees with arrays in a form whose values JAX keeps; other leaves are kept.

    Raises:
        TypeError: If a leaf is a table, or an array of dates or strings.
        ValueError: If an array has masked entries.
    """
    pairs, structure = jax.tree_util.tree_flatten_with_path(data)
    leaves = [as_array(_label(path), leaf) for path, leaf in pairs]
    return jax.tree_util.tree_unflatten(structure, leaves)


def _label(path: Any) -> str:
    return f"{path[0].key}{jax.tree_util.keystr(path[1:])}"


def row_count(**data: Any) -> int:
    """The common number of rows of all arrays of all pytrees."""
    leaves = named_leaves(**data)
    if not leaves:
        names = " and ".join(f"`{name}`" for name in data)
        raise ValueError(f"{names} must contain at least one array of rows, got none.")
    count = _checks.same_length(**leaves)
    if count < 1:
        raise ValueError("The data must have at least one row, got none.")
    return count


def check_data(**data: Any) -> int:
    """Check that the data has no NaN or infinite entries and return its number of rows."""
    count = row_count(**data)
    for name, leaf in named_leaves(**data).items():
        _checks.no_nan(name, leaf)
    return count
