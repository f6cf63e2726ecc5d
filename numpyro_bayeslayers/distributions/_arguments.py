"""Conversion of constructor arguments before they are stored."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from .. import _checks


def as_float(name: str, x: ArrayLike) -> Array:
    """The argument `x` as an array of its own floating-point type, or of the default one.

    A concrete value stays concrete inside `jax.jit`, so that it can be validated.

    Raises:
        TypeError: If it holds no real numbers.
        ValueError: If it has masked entries.
    """
    x = _checks.numbers(name, x)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(x, jnp.result_type(float, x))


def with_rank(x: Array, rank: int) -> Array:
    """`x` with singleton axes on the left, up to `rank` axes.

    All arguments of a distribution are stored with as many axes as its batch shape, so that an
    axis added by `jax.vmap` is left of every batch axis.
    """
    with jax.ensure_compile_time_eval():
        return x.reshape((1,) * (rank - x.ndim) + x.shape)


def batch_of(**given: ArrayLike) -> tuple[tuple[int, ...], list[Array]]:
    """The batch shape of scalar arguments, and each argument as an array of this rank.

    Raises:
        TypeError: If one holds no real numbers.
        ValueError: If one has masked entries, or two do not broadcast.
    """
    arrays = [as_float(name, x) for name, x in given.items()]
    try:
        batch_shape = jnp.broadcast_shapes(*map(jnp.shape, arrays))
    except ValueError as error:
        shapes = ", ".join(
            f"`{name}` {x.shape}" for name, x in zip(given, arrays, strict=True)
        )
        raise ValueError(f"The arguments must broadcast, got {shapes}.") from error
    return batch_shape, [with_rank(x, len(batch_shape)) for x in arrays]
