"""A distribution under test: how to build it, its parameters, and ways to vary them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import biject_to, constraints

NUM_DRAWS = 20_000


@dataclasses.dataclass
class DistributionTrial:
    """A distribution under test and its parameters.

    `params` are the arrays that the laws vary, passed to `make` by name.
    """

    make: Callable[..., dist.Distribution]
    params: Mapping[str, ArrayLike] = dataclasses.field(default_factory=dict)

    def at(self, **changes: Any) -> Any:
        """The distribution with some parameters changed."""
        return self.make(**{**self.params, **changes})

    @cached_property
    def distribution(self) -> Any:
        """The distribution at its parameters."""
        return self.at()

    @cached_property
    def draws(self) -> Array:
        """A few draws, of shape (8, *batch, *event)."""
        return jax.jit(lambda: self.distribution.sample(random.key(0), (8,)))()

    @cached_property
    def log_probs(self) -> Array:
        """The log densities of `draws`, of shape (8, *batch), not compiled."""
        return self.distribution.log_prob(self.draws)

    @cached_property
    def double(self) -> "DistributionTrial":
        """The same trial with parameters in double precision."""
        params = {name: _double(value) for name, value in self.params.items()}
        return DistributionTrial(self.make, params)

    @cached_property
    def many(self) -> np.ndarray:
        """Many draws in double precision, of shape (NUM_DRAWS, *batch, *event)."""
        with jax.enable_x64(True):
            d = self.double.distribution
            return np.asarray(jax.jit(lambda: d.sample(random.key(1), (NUM_DRAWS,)))())

    @staticmethod
    def moments(d: Any) -> Iterator[tuple[str, Array]]:
        """Mean and variance, if the distribution has them."""
        for name in ("mean", "variance"):
            try:
                yield name, getattr(d, name)
            except NotImplementedError:
                continue

    def constraint(self, name: str) -> Any:
        """The constraint of the parameter `name`; real if the distribution does not state one."""
        constraint = self.distribution.arg_constraints.get(name, constraints.real)
        return constraints.real if constraints.is_dependent(constraint) else constraint

    @property
    def movable(self) -> list[str]:
        """The parameters with continuous values."""
        return [
            name
            for name, value in self.params.items()
            if jnp.issubdtype(jnp.result_type(value), jnp.inexact)
        ]

    def moved(self, name: str, step: ArrayLike) -> Array:
        """The parameter `name`, moved by `step` in a fixed direction within its range."""
        constraint = self.constraint(name)
        value = jnp.asarray(self.params[name])
        if constraint is constraints.real:
            size, bijection = jnp.abs(value) + 0.1, None
        else:
            size, bijection = 1.0, biject_to(constraint)
            value = bijection.inv(value)
        # Every entry changes, and none by more than `step`.
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, value.shape)
        direction = jnp.asarray(noise + 0.5 * np.sign(noise), value.dtype)
        value = value + step * size * direction
        return value if bijection is None else bijection(value)


def _double(value: ArrayLike) -> Any:
    is_float = jnp.issubdtype(jnp.result_type(value), jnp.inexact)
    return np.asarray(value, np.float64) if is_float else value
