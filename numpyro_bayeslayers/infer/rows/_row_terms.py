"""Find out whether the rows of a model depend on each other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.handlers import seed, trace

from ..._typing import Message, Model
from ..compilation._effort import options
from ..compilation._host import on_host, some_rows
from ._arguments import Arguments, put_together
from ._plates import OwnPlateError
from ._spread import spread_sites
from ._term import Rows, Runs, Seen, Term, asks_total, seen, term, total

# The number of rows compared; a prime, so that no plate or layer has this size by chance.
FEW = 7


def row_terms(model: Model, parts: Arguments, size: int) -> dict[str, Term] | None:
    """How each sample and deterministic site of a model depends on the rows.

    The model runs on a few rows and on a subset of them, at the same values of its latent sites
    and parameters. The parameters of the sites' distributions are compared row by row; for a
    site shared by all rows, sums of log densities are compared. This is evaluated by NumPy or
    one small program. A model that does not run on a few rows runs on two minibatches.

    Args:
        model: Any NumPyro model.
        parts: Its arguments.
        size: The number of rows of a minibatch or block.

    Returns:
        The terms by site name; None if no comparison is possible, because there is only one row
        or the arrays are traced.

    Raises:
        Exception: Any error of the model.
    """
    num_rows = parts.num_rows
    arrays = jax.tree.leaves((parts.rows, parts.shared))
    if num_rows is None or num_rows < 2:
        return None
    if any(isinstance(x, jax.core.Tracer) for x in arrays):
        return None
    first: Exception | None = None
    for count in dict.fromkeys((min(num_rows, FEW), min(num_rows, 2 * size))):
        rows = np.linspace(0, num_rows - 1, count).round().astype(int)
        try:
            return _compared(model, parts, rows)
        except OwnPlateError:
            raise
        except Exception as error:
            first = first or error
    assert first is not None
    raise first


def _compared(model: Model, parts: Arguments, rows: Rows) -> dict[str, Term]:
    """Compare all `rows` with every other one of them."""
    every = np.arange(len(rows))
    some, rest = every[1::2], every[::2]
    runs = Runs(rows, some, here=some, there=np.arange(len(some)))
    noted: list[dict[str, Seen]] = []
    is_random = False

    def run(few: list[Any], shared: list[Any]) -> Any:
        def look(at: Rows, known: Any = None, of: Rows | None = None) -> dict[str, Message]:
            nonlocal is_random
            cut = [None if x is None else jnp.take(x, at, axis=0) for x in few]
            args, kwargs = put_together(cut, shared, parts.frame)
            handler = spread_sites(known, at if of is None else of, len(rows))
            with handler:
                sites = trace(seed(model, random.key(0))).get_trace(*args, **kwargs)
            is_random |= handler.is_random
            return sites

        def note(sites: dict[str, Message]) -> dict[str, list[Any]]:
            kinds = ("sample", "deterministic")
            pairs = {n: seen(s) for n, s in sites.items() if s["type"] in kinds}
            noted.append({name: pair[0] for name, pair in pairs.items()})
            return {name: pair[1] for name, pair in pairs.items()}

        whole = look(every)
        known = {
            n: s["value"] for n, s in whole.items() if s["type"] in ("sample", "param")
        }
        part = look(some, known)
        first, second = note(whole), note(part)
        if is_random:
            # With equal shapes the noise is the same: replace the other rows by different ones.
            second = note(look(np.where(every % 2, 0, every), known, every))
            return first, second, {}
        names = [
            n for n in first if n in second and asks_total(*(s[n] for s in noted), runs)
        ]
        parts_of = (whole, part, look(rest, known)) if names else ()
        return first, second, {n: [total(s[n]) for s in parts_of if n in s] for n in names}

    # It runs once, so fast compilation matters more than speed.
    compiled = lambda *data: jax.jit(run, compiler_options=options(0))(*data)
    few = [None if x is None else some_rows(x, rows) for x in parts.rows]
    with jax.default_matmul_precision("highest"):
        first, second, totals = on_host(run, few, parts.shared, otherwise=compiled)
    if is_random:
        runs = runs._replace(here=rest, there=rest)
    one, other = noted[:2]
    return {
        n: term(n, one[n], other.get(n), (first[n], second.get(n, [])), totals.get(n), runs)
        for n in one
    }
