"""Refuse models with state that changes between steps, where a method does not keep it."""

from collections.abc import Collection

from ...primitives import counts_steps

_STATE = (
    "{kind} does not keep the mutable state of the model (`numpyro.mutable`: {names}): each "
    "step would start from its initial value. Use {instead}."
)
_COUNT = (
    "{kind} does not count steps, but the model asks for their number: a schedule (such as "
    "that of `handlers.temper`) would stay at its initial value. Use a number, `beta=0.5`, or "
    "{instead}."
)


def refuse_kept(names: Collection[str], kind: str, instead: str) -> None:
    """Raise if the model has mutable state.

    Args:
        names: The names of its mutable sites.
        kind: The method, which does not keep the state.
        instead: A method that does.
    """
    others = [name for name in names if not counts_steps(name)]
    if others:
        listed = ", ".join(map(repr, others))
        raise ValueError(_STATE.format(kind=kind, names=listed, instead=instead))
    if names:
        raise ValueError(_COUNT.format(kind=kind, instead=instead))
