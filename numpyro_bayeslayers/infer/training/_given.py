"""What the processes that share a run were given, which must be the same."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ... import _processes
from ..._typing import PRNGKey
from ._arguments import Arguments
from ._description import data_texts
from ._divided import HeldOut
from ._layout import Layout

_SIZES = (
    "`batches` must give batches of one size in all processes, got {given} rows. Cut the rows of "
    "each process into batches of the same size, and leave out what does not fill one."
)
_OTHER = (
    "`batches` must give the same in all processes, each of which has all rows of a batch, and "
    "does not. To let each give its share of the rows, name the axis that they are split over, "
    "`data_axis`."
)


def in_step(batches: Iterable[Arguments], layout: Layout) -> Iterator[Arguments]:
    """Batches for as long as each of the processes that share a run has one.

    Raises:
        ValueError: If they do not go together.
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
    """Processes that share a run were given the same.

    Args:
        layout: Whether they share it.
        parts: The arguments of the model.
        held_out: Rows that are held out.
        key: The random key.
        numbers: What else decides which programs they call, by name.

    Raises:
        ValueError: If they were not; all of them say so.
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
