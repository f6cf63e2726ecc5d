"""What layers ask of the data, answered before anything is compiled.

A layer that has to look at values (whether inputs lie in its box, whether categories exist) says
so by `primitives.when_known`: inside a program it sees none. Here the model is traced once, and
those of its values that the data alone determine are computed, one operation after another,
whatever stands between the data and the layer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Var, get_opaque_trace_state, jaxpr_as_fun
from numpyro.handlers import seed
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...handlers._feasible import feasible
from ._arguments import Arguments, put_together
from ._plates import on_all_rows


class Known:
    """Answers what the layers of a model ask of its data. Kept for data of the same shapes.

    Args:
        model: Any function of its data in which layers may be called.
        leading: Gives what the model takes before its data, a tuple with arrays as shapes.
        is_fitted: Whether the data hold what a fit has found.
    """

    def __init__(
        self,
        model: Model,
        leading: Callable[[], Any] = lambda: (),
        *,
        is_fitted: bool = False,
    ) -> None:
        self._model = model
        self._leading = leading
        self._is_fitted = is_fitted
        self._asked: dict[Any, _Questions] = {}

    @property
    def is_open(self) -> bool:
        """Whether a layer has asked what only a fit can answer."""
        return any(asked.is_open for asked in self._asked.values())

    def look(self, parts: Arguments) -> None:
        """Let the layers look at these arguments.

        Raises:
            ValueError: Whatever a layer finds wrong; some only warn.
        """
        arrays = jax.tree.leaves((parts.rows, parts.shared))
        if any(isinstance(x, jax.core.Tracer) for x in arrays):
            return
        kind = (parts.frame, tuple((x.shape, x.dtype) for x in arrays))
        if kind not in self._asked:
            model = on_all_rows(self._model, parts.num_rows)
            asking = _asking(self._is_fitted)
            self._asked[kind] = _questions(model, self._leading(), parts, asking)
        self._asked[kind].answer(arrays)


class _Questions(NamedTuple):
    checks: list[Callable[[np.ndarray], None]]
    values: Callable[..., list[Any]]
    is_open: bool

    def answer(self, arrays: list[Any]) -> None:
        if not self.checks:
            return
        for check, value in zip(self.checks, self.values(*arrays), strict=True):
            check(np.asarray(value))


class _asking(Messenger):  # noqa: N801
    """Notes what layers ask, in the trace where it is opened."""

    def __init__(self, is_fitted: bool) -> None:
        self.is_fitted = is_fitted
        self.is_open = False
        self.values: list[Any] = []
        self.checks: list[Callable[[np.ndarray], None]] = []
        super().__init__()

    def __enter__(self) -> Any:
        self._trace = get_opaque_trace_state()
        return super().__enter__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "when_known":
            if msg["is_fitted"] and not self.is_fitted:
                self.is_open = True
            # What the model itself maps or scans has no values of its own here.
            elif get_opaque_trace_state() == self._trace:
                self.values.append(msg["args"][0])
                self.checks.append(msg["check"])


def _questions(model: Model, leading: Any, parts: Arguments, asking: _asking) -> _Questions:
    """What the layers ask that the data alone can answer."""
    shapes, others = eqx.partition(leading, lambda x: isinstance(x, jax.ShapeDtypeStruct))

    def run(unknown: Any, rows: list[Any], shared: list[Any]) -> list[Any]:
        (key, first), (args, kwargs) = unknown, put_together(rows, shared, parts.frame)
        with asking:
            seed(feasible(model), key)(*eqx.combine(first, others), *args, **kwargs)
        return [jnp.asarray(value) for value in asking.values]

    unknown = (jax.random.key(0), shapes)
    try:
        program = jax.make_jaxpr(run)(unknown, parts.rows, parts.shared)
    except Exception:
        return _Questions(
            [], list, False
        )  # what is wrong with the model is said where it runs
    number = len(jax.tree.leaves(unknown))
    depends = _dependents(program, number)
    outputs = program.jaxpr.outvars
    is_known = [not isinstance(v, Var) or v not in depends for v in outputs]
    checks = [c for c, known in zip(asking.checks, is_known, strict=True) if known]
    is_open = asking.is_open or not all(is_known)
    return _Questions(checks, _part(program, number, is_known), is_open)


def _dependents(program: ClosedJaxpr, number: int) -> set[Any]:
    """All values that depend on the first `number` inputs."""
    found = set(program.jaxpr.invars[:number])
    for equation in program.jaxpr.eqns:
        if any(isinstance(v, Var) and v in found for v in equation.invars):
            found.update(equation.outvars)
    return found


def _part(
    program: ClosedJaxpr, number: int, is_wanted: list[bool]
) -> Callable[..., list[Any]]:
    """The outputs that are wanted as a function of the inputs after the first `number`."""
    jaxpr = program.jaxpr
    outputs = [v for v, wanted in zip(jaxpr.outvars, is_wanted, strict=True) if wanted]
    needed, equations = {v for v in outputs if isinstance(v, Var)}, []
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            equations.insert(0, equation)
            needed.update(v for v in equation.invars if isinstance(v, Var))
    part = jaxpr.replace(invars=jaxpr.invars[number:], outvars=outputs, eqns=equations)
    return jaxpr_as_fun(ClosedJaxpr(part, program.consts))
