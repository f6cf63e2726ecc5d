"""What a row of the tables is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

X = jax.random.normal(jax.random.key(0), (5, 3))

NOISE = "draws noise from the enclosing key, whose draws depend on the shapes"


class Case(NamedTuple):
    """How to make a layer by name, what to call it with, which laws it is excused from."""

    make: Callable[[str | None], Any]
    inputs: tuple[Any, ...] = (X,)
    excused: dict[str, str] = {}
