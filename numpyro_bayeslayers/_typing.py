"""Types shared by the subpackages."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Array, Int, Key, PyTree, UInt32

# A typed key, or the raw uint32 pair that `Predictive` still passes to models.
PRNGKey: TypeAlias = Key[Array, ""] | UInt32[Array, "2"]

# A seed: an integer or a key.
Seed: TypeAlias = int | np.integer | Int[Array, ""] | PRNGKey


@runtime_checkable
class HasNumbers(Protocol):
    """A column or a table of pandas or polars."""

    @property
    def to_numpy(self) -> Any:
        """The function that makes an array of the entries."""

    def __array__(self) -> np.ndarray: ...


# Numbers that are not an array: a column or a table, a list.
Column: TypeAlias = HasNumbers | Sequence[Any]

# A message on NumPyro's effect stack.
Message: TypeAlias = dict[str, Any]

# A NumPyro model or guide: any callable with sites inside.
Model: TypeAlias = Callable[..., Any]

Params: TypeAlias = PyTree
