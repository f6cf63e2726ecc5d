"""Which values of a parameter each run tries; the others are tried by `make test-slow`."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], quick: int | Collection[Any] = 1) -> list[Any]:
    """The values, marked slow but for the first `quick` of them, or for those of `quick`."""
    values = list(values)
    kept = values[:quick] if isinstance(quick, int) else list(quick)
    if not all(value in values for value in kept):
        raise ValueError(f"These are none of the values: {kept}.")
    return [
        pytest.param(
            v, marks=[] if any(v is k or v == k for k in kept) else pytest.mark.slow
        )
        for v in values
    ]
