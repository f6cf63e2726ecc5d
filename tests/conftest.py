"""What every test runs under: the CPU, no progress bars, warnings as errors.

The run-time checks of shapes, the strict warnings and the marker `slow` are set in
`pyproject.toml`.
"""

import os

# Before jax, numpyro and tqdm are imported: they read these once.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TQDM_DISABLE", "1")

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def strict_ranks() -> Iterator[None]:
    """Arrays of different rank do not broadcast.

    For tests of plain array code. It cannot hold everywhere: a bias of shape (out,) is
    added to rows of shape (n, out) in every layer, and NumPyro broadcasts scalars of
    priors against batches.
    """
    with jax.numpy_rank_promotion("raise"):
        yield
