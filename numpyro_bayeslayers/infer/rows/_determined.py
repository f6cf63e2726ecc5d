"""The part of a traced program that depends only on some of its inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Var, jaxpr_as_fun
from numpyro.primitives import Messenger

from ..._typing import Message, Model


def inputs_of(program: ClosedJaxpr) -> list[set[int]]:
    """For each output, the indices of the inputs on which it depends."""
    jaxpr = program.jaxpr
    # The set of inputs of a value is stored as the bits of an integer.
    found: dict[Any, int] = {var: 1 << place for place, var in enumerate(jaxpr.invars)}
    of = lambda v: found.get(v, 0) if isinstance(v, Var) else 0
    for equation in jaxpr.eqns:
        bits = 0
        for v in equation.invars:
            bits |= of(v)
        found.update(dict.fromkeys(equation.outvars, bits))
    count = range(len(jaxpr.invars))
    return [{i for i in count if of(v) >> i & 1} for v in jaxpr.outvars]


def part_of(
    program: ClosedJaxpr, first: int, places: Sequence[int]
) -> Callable[..., list[Any]]:
    """Some outputs as a function of the inputs from index `first` on.

    The operations on which they depend are evaluated one at a time: no large program is
    compiled. The outputs must not depend on inputs before `first`.
    """
    jaxpr = program.jaxpr
    outputs = [jaxpr.outvars[place] for place in places]
    needed, equations = {v for v in outputs if isinstance(v, Var)}, []
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            equations.append(equation)
            needed.update(v for v in equation.invars if isinstance(v, Var))
    part = jaxpr.replace(invars=jaxpr.invars[first:], outvars=outputs, eqns=equations[::-1])
    return jaxpr_as_fun(ClosedJaxpr(part, program.consts))


class unknown_params(Messenger):  # noqa: N801
    """Makes parameters formally depend on a key, since their initial values are not final."""

    def __init__(self, fn: Model, key: Any) -> None:
        self._key = key
        super().__init__(fn)

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "param":
            msg["value"] = as_unknown(msg["value"], self._key)


def as_unknown(tree: Any, key: Any) -> Any:
    """The same numbers, with a formal dependence on the random key `key`."""
    zero = 0 * jnp.sum(jax.random.key_data(key))

    def one(value: Any) -> Any:
        kind = jnp.result_type(value)
        return value + zero.astype(kind) if jnp.issubdtype(kind, jnp.number) else value

    return jax.tree.map(one, tree)
