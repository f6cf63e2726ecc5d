"""Priors of weights and biases, checked when a layer is constructed."""

import math
from typing import Any, Literal, TypeAlias

import numpyro.distributions as dist

from ... import _checks

# A standard deviation, or the rule 1/sqrt(in_features).
PriorScale: TypeAlias = float | Literal["fan_in"]


def checked_scale(name: str, value: Any) -> PriorScale:
    """Check that `value` is a positive number or the name of the rule."""
    if not isinstance(value, str):
        return _checks.positive(name, value)
    if value != "fan_in":
        raise ValueError(f"`{name}` must be a positive number or 'fan_in', got {value!r}.")
    return "fan_in"


def normal(
    shape: tuple[int, ...], scale: PriorScale = 1.0, fan_in: int = 1
) -> dist.Distribution:
    """Independent centered normals of event shape `shape`."""
    return dist.Normal(0.0, scale_of(scale, fan_in)).expand(shape).to_event(len(shape))


def scale_of(scale: PriorScale, fan_in: int) -> float:
    """The standard deviation, given as a number or by the rule."""
    return 1.0 / math.sqrt(fan_in) if isinstance(scale, str) else scale
