"""Cut-points between ordered classes on the scale of the predictions."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from ... import _checks
from ...primitives import scope
from ._parameter import Parameter, check_prior, drawn


def cut_points(
    link: str, first_cut: Parameter, gaps: Parameter, num_classes: int, outputs: int
) -> Array:
    """The cut-points on the last axis, aligned with predictions.

    Args:
        link: The name of the link.
        first_cut: The prior of the first cut-point, or its value.
        gaps: The prior of each gap, or their values.
        num_classes: The number of classes.
        outputs: The number of outputs.
    """
    first: Any = dist.Normal(0.0, 2.0) if first_cut is None else first_cut
    steps: Any = dist.Exponential(1.0) if gaps is None else gaps
    with scope(prefix=link):
        if isinstance(first, dist.Distribution):
            first = drawn("first_cut", first, outputs)
        first = jnp.asarray(first)[..., None]
        if num_classes == 2:
            return first
        if isinstance(steps, dist.Distribution):
            check_prior("gaps", steps, float("inf"))
            steps = drawn("gaps", steps, outputs, (num_classes - 2,))
    _checks.all_positive("gaps", steps)
    steps = jnp.asarray(steps)
    if steps.shape[-1:] != (num_classes - 2,):
        raise ValueError(
            f"`gaps` must be {num_classes - 2} numbers for {num_classes} classes, on the last "
            f"axis, got shape {steps.shape}."
        )
    ends = first + jnp.cumsum(steps, -1)
    return jnp.concatenate([jnp.broadcast_to(first, (*ends.shape[:-1], 1)), ends], -1)
