"""Deterministic values of the latent sites and parameters of a model, for comparisons."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpyro.distributions import biject_to, constraints
from numpyro.primitives import Messenger

from ..._typing import Message

# Fractional parts of multiples of the golden ratio are evenly spread on the unit interval.
_GOLDEN = np.uint32(2654435769)


def spread(shape: tuple[int, ...], offset: int) -> Float[Array, "..."]:
    """Evenly spread numbers from -1 to 1; random number generators compile slowly."""
    i = jnp.arange(math.prod(shape), dtype=jnp.uint32) + np.uint32(1 + 7919 * offset)
    # The upper 23 bits plus one half, so that the ends are not reached.
    unit = ((i * _GOLDEN) >> np.uint32(9)).astype(float) + 0.5
    return (unit * 2.0**-22 - 1.0).reshape(shape)


def moved(leaf: Any) -> Any:
    """An array moved away from zero (zeros hide what they multiply), without changing signs."""
    if not eqx.is_inexact_array(leaf):
        return leaf
    unit = spread(leaf.shape, 1).astype(leaf.dtype)
    return leaf + 0.1 * unit * jnp.where(leaf == 0, 1, leaf)


class spread_sites(Messenger):  # noqa: N801
    """Assigns a value to each latent site, and moves parameters away from their initial values.

    It is applied outside `seed` and `trace`: sites that it cannot assign are drawn. Values are
    within one unit of zero in unconstrained space; parameters that start at zero, where they
    would hide what they multiply, are moved by up to 0.1.

    Args:
        known: The values of an earlier run by site name; empty in the first run.
        at: The rows of the earlier run that this run has, for values with entries per row.
        num_rows: The number of rows of the earlier run.
    """

    def __init__(
        self,
        known: dict[str, Any] | None = None,
        at: Int[np.ndarray, " n"] | None = None,
        num_rows: int = 0,
    ) -> None:
        self.known = known
        self.at = at
        self.num_rows = num_rows
        self.is_random = False  # whether the model uses random keys
        self._count = 0
        self._params = 0
        super().__init__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "prng_key":
            self.is_random |= self._params == 0
        elif msg["type"] == "param":
            self._params += 1  # keys requested inside are for its initial value
        elif msg["type"] == "sample" and msg["value"] is None and not msg["is_observed"]:
            shape = msg["fn"].shape(msg["kwargs"].get("sample_shape", ()))
            if self.known is None:
                msg["value"] = self._value(msg["fn"], shape)
            elif msg["name"] in self.known:
                msg["value"] = self._rows_of(self.known[msg["name"]], shape)

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] != "param":
            return
        self._params -= 1
        if self.known is None:
            msg["value"] = self._moved(msg)
        elif msg["name"] in self.known:
            earlier = self.known[msg["name"]]
            pairs = lambda old, new: self._rows_of(old, jnp.shape(new), new)
            msg["value"] = jax.tree.map(pairs, earlier, msg["value"])

    def _next(self, shape: tuple[int, ...]) -> Array:
        self._count += 1
        return spread(shape, self._count)

    def _value(self, fn: Any, shape: tuple[int, ...]) -> Array | None:
        if fn.support.is_discrete:
            return None
        try:
            bijection = biject_to(fn.support)
        except NotImplementedError:
            return None
        return bijection(self._next(bijection.inverse_shape(shape)))

    def _moved(self, msg: Message) -> Any:
        constraint = msg["kwargs"].get("constraint", constraints.real)
        if constraint is not constraints.real:
            bijection = biject_to(constraint)
            start = bijection._inverse(msg["value"])
            return bijection(start + 0.1 * self._next(jnp.shape(start)))

        def moved(x: Any) -> Any:
            if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
                return x
            return x + (0.1 * self._next(jnp.shape(x))).astype(jnp.result_type(x))

        return jax.tree.map(moved, msg["value"])

    def _rows_of(self, value: Any, shape: tuple[int, ...], other: Any = None) -> Any:
        """The entries of `value` for the rows of this run; `other` if this is ambiguous."""
        if jnp.ndim(value) != len(shape):
            return other
        for axis, (before, now) in enumerate(zip(jnp.shape(value), shape, strict=True)):
            if before != now:
                if self.at is None or (before, now) != (self.num_rows, len(self.at)):
                    return other
                value = jnp.take(value, self.at, axis=axis)
        return value
