"""Our own arrays broadcast and change their types by NumPy's rules, whatever JAX is set to."""

import contextlib
from collections.abc import Generator

import jax


@contextlib.contextmanager
def promoting() -> Generator[None]:
    """Shapes of different rank broadcast inside, and types mix.

    ``jax_numpy_rank_promotion="raise"`` and ``jax_numpy_dtype_promotion="strict"`` are for the
    code of users; a bias that is added to rows is meant as it is written.
    """
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
