"""Check that parameters and states belong to the model, guide and run that uses them."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from ..rows._arguments import Arguments
from ._description import (
    TO_GO_ON,
    TO_READ,
    Description,
    Difference,
    data_texts,
    differences,
    spelled,
)

if TYPE_CHECKING:
    from ._program import Program, Programs

_OTHER_RESULT = (
    "`result` is of another model or guide ({what}). Use it with the object that returned it, "
    "or with one of the same model and guide after `init` with the data of the fit, including "
    "observations."
)
_OTHER_STATE = "`{name}` belongs to another run ({what}). Start again without it{mend}."
_ON_PURPOSE = (
    "; to continue from its numbers on purpose, pass `{name}._replace(description=None)`"
)
_OF_CHOICE = ("priors", "optimizer", "loss", "data")
_OTHER_SHAPES = (
    "`{name}` does not match the model and the guide ({what}). Pass parameters of this model "
    "and guide, or start again."
)


def program_of(programs: "Programs", result: Any) -> "Program":
    """The program whose guide can read a result: the one that produced it, or an equivalent one.

    Raises:
        RuntimeError: Before `init` or `run`.
        ValueError: If the parameters are of another model or guide.
    """
    latest = programs.latest
    there = getattr(result.state, "description", None)
    program = latest
    if there is not None:
        started = [
            p for p in programs.started if not differences(there, p.description, TO_READ)
        ]
        if not started:
            found = differences(there, latest.description, TO_READ)
            raise ValueError(_OTHER_RESULT.format(what=spelled(found)))
        program = latest if latest in started else started[-1]
    _check_params(program, result.params)
    return program


def differs(program: "Program", result: Any) -> str:
    """How a result's model or guide differs; empty if they are the same."""
    there = getattr(result.state, "description", None)
    found = differences(there, program.description, TO_READ) if there is not None else []
    return spelled(found or _other_params(program, result.params))


def _other_params(program: "Program", params: dict[str, Any]) -> list[Difference]:
    wanted = {
        name: tuple(x.shape) for name, x in program.param_shapes.items() if _is_array(x)
    }
    given = {name: tuple(np.shape(x))[1:] for name, x in params.items() if _is_array(x)}
    kept = {n for n, text in program.member.sites.items() if text.startswith("mutable")}
    return [
        Difference("parameters", n, _text(given.get(n)), _text(wanted.get(n)))
        for n in dict.fromkeys([*given, *wanted])
        if given.get(n) != wanted.get(n) and n not in kept
    ]


def _check_params(program: "Program", params: dict[str, Any]) -> None:
    """Check that parameters, of any number of members, match the guide and the model."""
    if found := _other_params(program, params):
        raise ValueError(_OTHER_SHAPES.format(name="result.params", what=spelled(found)))


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape")


def _text(shape: tuple[int, ...] | None) -> str | None:
    return None if shape is None else f"of shape {shape}"


class Known(NamedTuple):
    """The description of a run without a `Program`.

    Args:
        description: The description.
        state_shapes: The shapes of one member's state.
    """

    description: Description
    state_shapes: Any


def check_state(
    program: "Program | Known",
    state: Any,
    parts: Arguments | None = None,
    *,
    name: str = "state",
) -> None:
    """Check that a state belongs to this model, guide, optimizer, and to this data if given.

    Raises:
        ValueError: If it does not.
    """
    there = getattr(state, "description", None)
    if there is not None and there != program.description:
        here = program.description
        if parts is not None and "data" in there.fields:
            here = here.with_data(data_texts(parts))
        found = differences(there, here, TO_GO_ON)
        if found:
            is_choice = all(difference.field in _OF_CHOICE for difference in found)
            mend = _ON_PURPOSE.format(name=name) if is_choice else ""
            raise ValueError(_OTHER_STATE.format(name=name, what=spelled(found), mend=mend))
    if there is None:
        _check_shapes(program, state, name)


def _check_shapes(program: "Program | Known", state: Any, name: str) -> None:
    wanted, structure = _leaves(program.state_shapes[:2])  # keys may be of either style
    given, own = _leaves(state[:2])
    shapes = [tuple(x.shape) for x in wanted]
    if structure == own and [tuple(np.shape(x))[1:] for x in given] == shapes:
        return
    raise ValueError(
        _OTHER_SHAPES.format(name=name, what="its arrays have different names or shapes")
    )


def _leaves(state: Any) -> tuple[list[Any], Any]:
    leaves, structure = jax.tree.flatten(tuple(state))
    return [x for x in leaves if _is_array(x)], structure


def description_of(
    program: "Program", parts: Arguments, *, repeated: bool = False
) -> Description:
    """The description of a run on this data; with `repeated`, all that determines its results."""
    here = program.description.with_data(data_texts(parts))
    return Description({**here.fields, **program.member.source()}) if repeated else here
