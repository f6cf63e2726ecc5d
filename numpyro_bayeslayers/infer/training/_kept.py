"""What a model keeps from step to step, where nothing keeps it."""

from collections.abc import Collection

from ...primitives import counts_steps

_STATE = (
    "{kind} does not keep what the model changes as it runs (`numpyro.mutable`: {names}): each "
    "step would start from the first value. Take {instead}."
)
_COUNT = (
    "{kind} counts no steps, and the model asks for their number: a schedule (of "
    "`handlers.temper`, say) would stay at its first value. Give it a number, `beta=0.5`, or "
    "take {instead}."
)


def refuse_kept(names: Collection[str], kind: str, instead: str) -> None:
    """Raise if the model keeps something.

    Args:
        names: What it keeps, by site name.
        kind: The method that does not keep it.
        instead: What does.
    """
    others = [name for name in names if not counts_steps(name)]
    if others:
        listed = ", ".join(map(repr, others))
        raise ValueError(_STATE.format(kind=kind, names=listed, instead=instead))
    if names:
        raise ValueError(_COUNT.format(kind=kind, instead=instead))
