"""NumPy's broadcasting and dtype promotion for the code of this package."""

import contextlib
from collections.abc import Generator

import jax


@contextlib.contextmanager
def promoting() -> Generator[None]:
    """Allow rank promotion and dtype promotion inside the block.

    ``jax_numpy_rank_promotion="raise"`` and ``jax_numpy_dtype_promotion="strict"`` are meant
    for users' code, not for the code of this package.
    """
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
