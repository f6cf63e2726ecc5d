"""Check that all processes of a distributed run were given the same arguments."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ... import _processes
from ..._typing import PRNGKey
from ..rows._arguments import Arguments
from ..rows._layout import Layout
from ._description import data_texts
from ._divided import HeldOut

_SIZES = (
    "`batches` must yield batches of the same size in all processes, got {given} rows. Split "
    "the rows of each process into batches of the same size, and leave out an incomplete one."
)
_OTHER = (
    "`batches` must yield the same data in all processes, since each has all rows of a batch, "
    "but it does not. To pass only a part of the rows in each process, set `data_axis`."
)


def in_step(batches: Iterable[Arguments], layout: Layout) -> Iterator[Arguments]:
    """Batches, as long as every process of a distributed run has one.

    Raises:
        ValueError: If they are not consistent.
    """
    if not layout.is_shared:
        yield from batches
        return
    for parts in itertools.chain(batches, [None]):
        rows = -1 if parts is None else parts.num_rows or 0
        is_same = layout.data_axis is None
        given = 0 if parts is None or not is_same else _processes.hashed(data_texts(parts))
        with _processes.losing_none(shared=True):
            every = _processes.gathered([rows, given])
        if (every[:, 0] < 0).any() or parts is None:
            return
        if (every[:, 0] != rows).any():
            raise ValueError(_SIZES.format(given=every[:, 0].tolist()))
        if (every[:, 1] != given).any():
            raise ValueError(_OTHER)
        yield parts


def check_given(
    layout: Layout,
    parts: Arguments,
    held_out: HeldOut | None,
    key: PRNGKey,
    numbers: dict[str, Any],
) -> None:
    """Check that the processes of a distributed run were given the same arguments.

    Args:
        layout: The layout of the run.
        parts: The arguments of the model.
        held_out: Held-out rows.
        key: The random key.
        numbers: Other numbers that determine which programs are called, by name.

    Raises:
        ValueError: In all processes, if the arguments differ.
    """
    if not layout.is_shared:
        return
    held = {} if held_out is None else data_texts(held_out.parts)
    named: dict[str, Any] = dict(data_texts(parts))
    named |= {f"validation: {n}": text for n, text in held.items()}
    is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if is_typed else key
    named["rng_key"] = _processes.whole(words).tolist()
    _processes.check_same(named | numbers, shared=True)
