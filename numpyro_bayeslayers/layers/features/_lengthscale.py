"""The lengthscale of a feature layer: one, or one for each input."""

import math
from typing import Any, TypeAlias

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from ... import _checks
from ...primitives import sample

# As a field: hashable, so that it is static and never trained by accident.
Lengthscale: TypeAlias = float | tuple[float, ...]


def as_lengthscale(value: Any) -> Any:
    """A number as it is, an array of shape (in,) as a tuple."""
    if np.ndim(value) == 0:
        return value
    return tuple(np.asarray(value, float).reshape(-1).tolist())


def check_lengthscale(name: str, value: Lengthscale, in_features: int) -> None:
    """One positive number, or as many as there are inputs."""
    values = value if isinstance(value, tuple) else (value,)
    for number in values:
        _checks.positive(name, number)
    if isinstance(value, tuple) and len(value) != in_features:
        raise ValueError(
            f"`{name}` must be one number or one for each of the {in_features} inputs "
            f"(`in_features`={in_features}), got {len(value)} numbers."
        )


def sample_lengthscale(initial: Lengthscale) -> Array:
    """Draw the site ``lengthscale`` around `initial`, lined up with rows."""
    if isinstance(initial, tuple):
        logs = np.log(np.asarray(initial, np.float32))
        return sample("lengthscale", dist.LogNormal(logs, 1.0).to_event(1), rank=2)
    return sample("lengthscale", dist.LogNormal(math.log(initial), 1.0), rank=2)
