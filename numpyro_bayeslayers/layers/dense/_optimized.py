"""Initial values of optimized parameters."""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float

from ..._typing import PRNGKey


def fan_in_normal(key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Normal values of standard deviation 1/sqrt(in): all-zero weights would never train."""
    return random.normal(key, shape) / math.sqrt(shape[-2])


def constant(value: float) -> Callable[[PRNGKey, tuple[int, ...]], Float[Array, "..."]]:
    """An initial value that needs no randomness."""
    return lambda key, shape: jnp.full(shape, value)
