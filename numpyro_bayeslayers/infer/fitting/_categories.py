"""Detection of rows that a model uses as codes of categories."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from numpyro.handlers import seed
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...handlers._feasible import feasible
from ..rows._inputs import named_leaves

_FAILED = (
    "The model computes categories from the rows of {names}, and some are not from 0 to {last}. "
    "Raise `num_categories` where it looks them up, or leave such rows out."
)


def categories_of(model: Model, rows: dict[str, Any]) -> dict[str, int]:
    """The numbers of categories of arrays that are looked up unchanged, by name.

    The model is traced abstractly if an array of rows holds integers.
    """
    if not any(_is_codes(leaf) for leaf in jax.tree.leaves(rows)):
        return {}
    counts: dict[str, int] = {}

    def run(rows: dict[str, Any]) -> None:
        leaves = {name: x for name, x in named_leaves(**rows).items() if _is_codes(x)}
        with _looking_up(leaves, counts):
            seed(feasible(model), random.key(0))(**rows)

    jax.eval_shape(run, rows)
    return counts


@contextmanager
def computed_categories(rows: dict[str, Any]) -> Generator[None]:
    """A context that gives a concise error if a program computes categories that do not exist.

    Categories among the rows are checked in advance; this is for categories that the model
    computes from rows, which are checked while it runs.

    Raises:
        ValueError: In place of the program's error.
    """
    try:
        yield
    except Exception as error:
        found = re.search(r"must hold categories from 0 to (\d+)", str(error))
        if not isinstance(error, RuntimeError) or found is None:
            raise
        names = ", ".join(f"`{name}`" for name in named_leaves(**rows) if name != "y")
        raise ValueError(_FAILED.format(names=names, last=found[1])) from None


def _is_codes(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.integer)


class _looking_up(Messenger):  # noqa: N801
    """Records which arrays are looked up, and among how many categories."""

    def __init__(self, leaves: dict[str, Any], counts: dict[str, int]) -> None:
        self.leaves = leaves
        self.counts = counts
        super().__init__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "categories":
            index, count = msg["args"]
            for name, leaf in self.leaves.items():
                if leaf is index:
                    self.counts[name] = min(count, self.counts.get(name, count))
