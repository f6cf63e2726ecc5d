"""What scores are computed of: numbers, one row for each other."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .. import _checks


def as_rows(**data: Any) -> list[Array]:
    """The arguments as arrays of one shape, in floating point.

    Raises:
        TypeError: If an entry is no real number.
        ValueError: If the shapes differ, there is no entry, one is masked, or columns of
            tables have other row labels.
    """
    arrays = {name: _checks.reals(name, values) for name, values in data.items()}
    _checks.same_shape(**arrays)
    first, *others = data
    if not np.size(arrays[first]):
        raise ValueError(f"`{first}` must have at least one entry, got none.")
    for name in others:
        labels: list[Any] = [getattr(data[n], "index", None) for n in (first, name)]
        if all(hasattr(x, "equals") for x in labels) and not labels[0].equals(labels[1]):
            raise ValueError(
                f"`{first}` and `{name}` must have the same row labels (`index`) in the same "
                "order, row for row. Align them first, as by `reindex_like`."
            )
    return [jnp.asarray(array, float) for array in arrays.values()]
