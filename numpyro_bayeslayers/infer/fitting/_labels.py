"""Names of the entries of coefficients, from columns and categories.

Layers compute each product of rows with coefficients by `primitives.linear`. If the rows are
columns of a table, changed at most in scale, or codes of categories, the first axis of the
coefficients takes their names.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import random
from jax.extend.core import ClosedJaxpr, Var
from numpyro.handlers import seed, trace
from numpyro.primitives import Messenger

from ..._linear_op import Dense
from ..._typing import Message
from ...handlers._feasible import feasible
from ...layers.regression._coefficient import BASE
from ...layers.regression._op import Categories, Contract, Embed
from ...preprocessing import Schema
from .._reparam import DECENTERED
from ..rows._inputs import named_leaves
from ..rows._plates import on_all_rows
from ._method import Problem

_Names: TypeAlias = tuple[str, tuple[str, ...]]


class Axis(NamedTuple):
    """An axis of a site with named entries.

    Args:
        place: The position of the axis, counted from the last, which is 1.
        names: The names of its entries.
        title: The name of the axis: ``x_column``, ``town_level``.
    """

    place: int
    names: tuple[str, ...]
    title: str

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a site of this shape has the axis."""
        return self.place <= len(shape) and shape[-self.place] == len(self.names)


#: The axes with named entries, by site.
Labels: TypeAlias = Mapping[str, tuple[Axis, ...]]

# Operations that keep the positions of columns.
_LAYOUT = {
    "reshape",
    "convert_element_type",
    "squeeze",
    "broadcast_in_dim",
    "copy",
    "copy_p",
}
_SCALING = {"add", "sub", "mul", "div", "max", "min", "neg", "log", "log1p", "exp", "tanh"}
_SCALING |= {"abs", "sqrt", "square", "integer_pow", "pow", "sign", "logistic", "expm1"}


def is_base(name: str, computed: tuple[str, ...]) -> bool:
    """Whether a site is the base of a reparameterized one."""
    ends = [end for end in (BASE, DECENTERED) if name.endswith(end)]
    return any(name.removesuffix(end) in computed for end in ends)


def line(name: str, shape: tuple[int, ...], at: tuple[int, ...], labels: Labels) -> str:
    """The name of an entry of a site: ``price.beta[age]`` or, without names, ``a[0,1]``."""
    if not at:
        return name
    words = [str(i) for i in at]
    named = [a for a in labels.get(name, ()) if a.fits(shape)]
    for axis in named:
        words[-axis.place] = axis.names[at[-axis.place]]
    if named:
        # Next to a name, an axis of length one needs no index.
        places = {len(shape) - axis.place for axis in named}
        words = [words[i] for i, size in enumerate(shape) if size > 1 or i in places]
    return f"{name}[{','.join(words)}]"


def title(source: str, kind: str) -> str:
    """The name of the axis of an array's columns or categories.

    Args:
        source: The name of the array in errors, ``x`` or ``x['store']``.
        kind: ``"columns"`` or ``"categories"``.
    """
    word = re.sub(r"\W+", "_", source).strip("_")
    return f"{word}_{'column' if kind == 'columns' else 'level'}"


def labels_of(problem: Problem) -> Labels:
    """The columns and levels of coefficients, as far as they are certain."""
    given = {} if problem.reader is None else problem.reader.axes()
    known = {site: tuple(Axis(*axis) for axis in axes) for site, axes in given.items()}
    names = _names(problem.data.schema)
    if not names:
        return known
    try:
        return _traced(problem, names) | known
    except Exception:  # names are optional
        return known


def _names(schema: Schema) -> dict[str, _Names]:
    """Whether each array has columns or categories, and their names."""
    found: dict[str, _Names] = {}
    for argument in schema.arguments:
        for leaf in argument.leaves if argument.name != "y" else ():
            levels = leaf.columns[0].levels
            if levels is not None and not leaf.shape:
                found[leaf.label] = "categories", tuple(map(str, levels))
            elif leaf.is_table and levels is None:
                found[leaf.label] = "columns", tuple(str(c.name) for c in leaf.columns)
    return found


class _products(Messenger):  # noqa: N801
    """Records the products of rows with coefficients.

    Args:
        leaves: The arrays of rows by name.
    """

    def __init__(self, leaves: dict[str, Any]) -> None:
        self.leaves = leaves
        self.found: list[_Product] = []
        self._index: str | None = None
        super().__init__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "categories":
            same = [n for n, leaf in self.leaves.items() if leaf is msg["args"][0]]
            self._index = same[0] if same else None
        elif msg["type"] == "linear":
            site, op, x = msg["weight"], msg["op"].exact, msg["args"][0]
            # A layer that looks up rows announces it just before.
            index = self._index if isinstance(op, Categories) else None
            self._index = None
            if index or isinstance(op, (Dense, Contract, Embed)):
                self.found.append(_Product(site.name, site.event_dim, index, x))


class _Product(NamedTuple):
    """A product of rows with coefficients.

    Args:
        site: The name of the coefficients' site.
        event_dim: The number of axes of one set of coefficients.
        index: The array of codes by which they are looked up; None for a product with numbers.
        x: The rows.
    """

    site: str
    event_dim: int
    index: str | None
    x: Any


def _traced(problem: Problem, names: dict[str, _Names]) -> dict[str, tuple[Axis, ...]]:
    products: list[_Product] = []
    shapes: dict[str, tuple[int, ...]] = {}

    def run(rows: dict[str, Any]) -> list[Any]:
        model = on_all_rows(problem.bound(problem.model), problem.data.num_rows)
        noting = _products(named_leaves(**rows))
        with noting:
            sites = trace(seed(feasible(model), random.key(0))).get_trace(**rows)
        shapes.update({n: jnp.shape(s["value"]) for n, s in sites.items()})
        products.extend(noting.found)
        return [jnp.asarray(product.x) for product in products]

    rows = problem.data.rows
    program = jax.make_jaxpr(run)(rows)
    arrays = list(named_leaves(**dict(sorted(rows.items()))))
    origin = _Origin(program, problem.data.num_rows)
    found: dict[str, set[Axis]] = {}
    for product, out in zip(products, program.jaxpr.outvars, strict=True):
        source = product.index
        if source is None:
            inputs = origin.of(out)
            source = arrays[next(iter(inputs))] if inputs and len(inputs) == 1 else ""
        kind, words = names.get(source, ("", ()))
        is_lookup = product.index is not None
        axis, shape = product.event_dim, shapes.get(product.site, ())
        fits = 0 < axis <= len(shape) and shape[-axis] == len(words)
        if fits and is_lookup == (kind == "categories"):
            for name in _alike(product.site, shapes):
                found.setdefault(name, set()).add(Axis(axis, words, title(source, kind)))
    return {name: tuple(known) for name, known in found.items() if len(known) == 1}


def _alike(site: str, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """The site, and sites of the same layer with one value per entry."""
    layer = site.rpartition(".")[0]
    same = [n for n, s in shapes.items() if s == shapes[site]]
    return [n for n in same if n == site or (layer and n.rpartition(".")[0] == layer)]


class _Origin:
    """Traces which inputs' columns a value consists of, in unchanged positions.

    Args:
        program: The program.
        num_rows: The rows of its inputs.
    """

    def __init__(self, program: ClosedJaxpr, num_rows: int) -> None:
        jaxpr = program.jaxpr
        self._num_rows = num_rows
        self._made = {v: step for step in jaxpr.eqns for v in step.outvars}
        self._found: dict[Any, frozenset[int] | None] = {
            v: frozenset({i}) for i, v in enumerate(jaxpr.invars)
        }

    def of(self, var: Any) -> frozenset[int] | None:
        """The positions of the inputs; empty without rows; None if columns have moved."""
        if not isinstance(var, Var):
            return frozenset()
        if var not in self._found:
            self._found[var] = self._look(var)
        return self._found[var]

    def _look(self, var: Any) -> frozenset[int] | None:
        shape, step = var.aval.shape, self._made.get(var)
        if step is None or self._num_rows not in shape:
            return frozenset()  # a constant, or a statistic of a column
        kind, operands = step.primitive.name, step.invars
        if kind in _LAYOUT:
            before = operands[0].aval
            if before.size < var.aval.size:  # one value for all rows, or for all columns
                return frozenset() if self._num_rows not in before.shape else None
            return self.of(operands[0]) if before.shape[-1:] == shape[-1:] else None
        if kind not in _SCALING:
            return None
        parts = [self.of(operand) for operand in operands]
        return None if None in parts else frozenset().union(*filter(None, parts))
