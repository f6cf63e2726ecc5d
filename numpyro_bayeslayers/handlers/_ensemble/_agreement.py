"""Checks of axes on which the plates of an ensemble could silently disagree."""

from typing import Any

import jax.numpy as jnp
from numpyro.handlers import replay

from ..._typing import Message
from ._axis import MemberAxis

_PLATE_AROUND = (
    "The ensemble {name!r} is called inside the plate {plate!r}. Open the plate in the "
    "member model, or make it an ensemble too: "
    "`ensemble(ensemble(model, {size}, {name!r}), {plate_size}, {plate!r})`."
)
_PLATE_INSIDE = (
    "The member model has the plate {plate!r} at dim {plate_dim}, but the members of the "
    "ensemble {name!r} are at dim {dim} and need all axes left of their own plates. Leave "
    "`dim` out, or pass one below {plate_dim}."
)
_SAME_NAME = (
    "The member model has a plate named {name!r} itself: give the ensemble another `name`."
)
_GUIDE_ELSEWHERE = (
    "At the site {site!r} the guide has the members of the ensemble {name!r} at dim "
    "{guide_dim}, the model at dim {dim}, because their plates are nested differently. Pass "
    "`dim={better}` to both ensembles."
)
_OTHER_SIZE = (
    "The plate {name!r} is replayed with {given} members, but this ensemble has {size}: the "
    "guide and the model need the same `num_members`."
)


def no_plate_around(name: str, size: int, handlers: list[Any]) -> None:
    """Check that no plate is open outside the ensemble, as a member has no axis for it."""
    for handler in reversed(handlers):
        if getattr(handler, "hides_plates", False):
            return
        if hasattr(handler, "subsample_size"):
            error = {"plate": handler.name, "plate_size": handler.subsample_size}
            raise ValueError(_PLATE_AROUND.format(**error, name=name, size=size))


def no_plate_across(name: str, axis: MemberAxis, msg: Message) -> None:
    """Check that the plates of a member are right of the members' axis, and named differently."""
    for frame in msg.get("cond_indep_stack", ()):
        if frame.name == name:
            raise ValueError(_SAME_NAME.format(name=name))
        if frame.dim <= axis.dim:
            error = {"plate": frame.name, "plate_dim": frame.dim}
            raise ValueError(_PLATE_INSIDE.format(**error, name=name, dim=axis.dim))


def same_size(name: str, axis: MemberAxis, indices: Any) -> None:
    """Check that a plate that is replayed from a guide has as many members as this one."""
    given = jnp.size(indices)
    if given != axis.size:
        raise ValueError(_OTHER_SIZE.format(name=name, given=given, size=axis.size))


def same_dim(name: str, axis: MemberAxis, msg: Message, handlers: list[Any]) -> None:
    """Check that the guide that the model is replayed against uses the same axis."""
    ours = {
        f.name for f in msg["cond_indep_stack"] if f.dim == axis.dim
    }  # scopes rename it
    for handler in handlers:
        site = handler.trace.get(msg["name"], {}) if isinstance(handler, replay) else {}
        for frame in site.get("cond_indep_stack", ()):
            if frame.name in ours and frame.dim != axis.dim:
                error = {"site": msg["name"], "name": name, "guide_dim": frame.dim}
                better = min(frame.dim, axis.dim)
                raise ValueError(
                    _GUIDE_ELSEWHERE.format(**error, dim=axis.dim, better=better)
                )
