"""Types shared by the subpackages."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Int, Key, PyTree, UInt32

# A typed key, or the raw uint32 pair that `Predictive` still passes to models.
PRNGKey: TypeAlias = Key[Array, ""] | UInt32[Array, "2"]

# A seed: an integer or a key.
Seed: TypeAlias = int | np.integer | Int[Array, ""] | PRNGKey

# A message on NumPyro's effect stack.
Message: TypeAlias = dict[str, Any]

# A NumPyro model or guide: any callable with sites inside.
Model: TypeAlias = Callable[..., Any]

Params: TypeAlias = PyTree
