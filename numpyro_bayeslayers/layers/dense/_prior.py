"""Priors of weights and biases, checked when a layer is made."""

import math
from typing import Literal, TypeAlias

import numpyro.distributions as dist

from ... import _checks

# A standard deviation, or the rule 1/sqrt(in_features).
PriorScale: TypeAlias = float | Literal["fan_in"]


def check_scale(prior_scale: PriorScale) -> None:
    """`prior_scale` is a positive number or the name of the rule."""
    if isinstance(prior_scale, str):
        if prior_scale != "fan_in":
            raise ValueError(
                f"`prior_scale` must be a positive number or 'fan_in', got {prior_scale!r}."
            )
        return
    _checks.positive("prior_scale", prior_scale)


def normal(
    shape: tuple[int, ...], scale: PriorScale = 1.0, fan_in: int = 1
) -> dist.Distribution:
    """Independent centered normals of event shape `shape`."""
    return dist.Normal(0.0, scale_of(scale, fan_in)).expand(shape).to_event(len(shape))


def scale_of(scale: PriorScale, fan_in: int) -> float:
    """The standard deviation, by number or by rule."""
    return 1.0 / math.sqrt(fan_in) if isinstance(scale, str) else scale
