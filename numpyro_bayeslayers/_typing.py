"""Names for the kinds of values that cross the borders of rooms."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Int, Key, PyTree, UInt32

# A typed key, or the raw pair of words that `Predictive` still hands to models.
PRNGKey: TypeAlias = Key[Array, ""] | UInt32[Array, "2"]

# What stands for a key: an integer, or the key itself.
Seed: TypeAlias = int | np.integer | Int[Array, ""] | PRNGKey

# What travels down NumPyro's effect stack.
Message: TypeAlias = dict[str, Any]

# A NumPyro model or guide: any callable with sites inside.
Model: TypeAlias = Callable[..., Any]

Params: TypeAlias = PyTree
