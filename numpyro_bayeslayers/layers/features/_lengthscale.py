"""The lengthscale of a feature layer: one for all inputs, or one for each."""

import math
from typing import TypeAlias

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from ... import _checks
from ...primitives import sample

# Hashable, so that the field is static and never trained by accident.
Lengthscale: TypeAlias = float | tuple[float, ...]


# One positive number, or several.
checked_lengthscale = _checks.each(_checks.positive)


def check_lengthscale(name: str, value: Lengthscale, in_features: int) -> None:
    """Check that there is one lengthscale for each input, or one for all."""
    if isinstance(value, tuple) and len(value) != in_features:
        raise ValueError(
            f"`{name}` must be one number or one for each of the {in_features} inputs "
            f"(`in_features`={in_features}), got {len(value)} numbers."
        )


def sample_lengthscale(initial: Lengthscale) -> Array:
    """Draw the site ``lengthscale`` around `initial`, aligned with rows."""
    if isinstance(initial, tuple):
        logs = np.log(np.asarray(initial, np.float32))
        return sample("lengthscale", dist.LogNormal(logs, 1.0).to_event(1), rank=2)
    return sample("lengthscale", dist.LogNormal(math.log(initial), 1.0), rank=2)
