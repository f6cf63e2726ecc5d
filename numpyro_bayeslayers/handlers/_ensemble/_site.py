"""Conversion of a member's sample message to that of all members, and of the answer back."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Array, PyTree

from ..._typing import Message
from ...primitives import POSTERIOR
from ._axis import MemberAxis, is_array, leading
from ._distribution import lift, lower

_BAD_VALUE = (
    "The site {name!r} of an ensemble was given a value of shape {shape} from outside, but "
    "its shape is {expected}: the {size} members are at dim {dim}. Give each member its "
    "value along that axis, or one value of shape {member} to all."
)


def needs_key(msg: Message) -> bool:
    """Whether a value must be drawn and no `seed` of the member has provided a key for it."""
    return msg["value"] is None and msg["kwargs"].get("rng_key") is None


def contents(msg: Message) -> dict[str, Any]:
    """The parts of a sample message that may hold arrays and must cross the boundary.

    A member with its own `seed` draws the value before the message crosses.
    """
    if msg["value"] is None and not needs_key(msg):
        msg["value"] = msg["fn"](**msg["kwargs"])
    sample_shape = msg["kwargs"].get("sample_shape", ())
    fn = msg["fn"].expand_by(sample_shape) if sample_shape else msg["fn"]
    scales = {k: msg[k] for k in ("scale", "plate_to_scale") if k in msg}
    return {"fn": fn, "value": msg["value"], "infer": msg["infer"], "scales": scales}


def plated(msg: Message, led: dict[str, Any], axis: MemberAxis) -> Message:
    """The sample message of all members, from that of one.

    Args:
        msg: The message of one member.
        led: Its `contents`, whose arrays have a leading axis.
        axis: Where the members go.
    """
    fn = lift(led["fn"], axis)
    value = led["value"]
    if value is not None:
        value = axis.insert(leading(value), fn.event_dim)
        # The full shape, also for shared data: ArviZ matches it with the plates.
        value = jnp.broadcast_to(value, lax.broadcast_shapes(value.shape, fn.shape()))
    scales = jax.tree.map(lambda x: axis.insert(x, 0) if is_array(x) else x, led["scales"])
    return {
        **msg,
        **scales,
        "fn": fn,
        "value": value,
        "infer": shared(led["infer"]),
        "args": (),
        "kwargs": {"rng_key": None, "sample_shape": ()},
        "intermediates": [],
        "cond_indep_stack": list(msg["cond_indep_stack"]),
    }


def shared(led: PyTree) -> PyTree:
    """Drop the leading axis of values that all members share."""
    return jax.tree.map(lambda x: x[0] if is_array(x) and x.shape[0] == 1 else x, led)


def pull_value(out: Message, fn: dist.Distribution, axis: MemberAxis) -> Array:
    """The value of an answered message with its member axis in front.

    Args:
        out: The message as the handlers outside left it.
        fn: The distribution of one member.
        axis: Where the members stand.

    Raises:
        ValueError: If the value has no member axis and is not of one member's shape.
    """
    value = jnp.asarray(out["value"])
    batch_shape = value.shape[: value.ndim - fn.event_dim]
    members = axis.batch_shape(fn.batch_shape)
    at = len(batch_shape) - axis.nesting - 1
    is_led = at >= 0 and batch_shape[at] in (1, axis.size)
    is_shared = at < 0 and _broadcasts(batch_shape, fn.batch_shape)
    if not (is_led or is_shared):
        raise ValueError(
            _BAD_VALUE.format(
                name=out["name"],
                shape=value.shape,
                expected=members + fn.event_shape,
                member=fn.batch_shape + fn.event_shape,
                size=axis.size,
                dim=axis.dim,
            )
        )
    return axis.pull(value, fn.event_dim, len(fn.batch_shape))


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    tail = to[len(to) - len(shape) :] if len(shape) <= len(to) else None
    return tail is not None and all(a in (1, b) for a, b in zip(shape, tail, strict=True))


def lower_infer(
    infer: dict[str, Any],
    sent: dict[str, Any],
    answer: dict[str, Any],
    posterior: dist.Distribution | None,
) -> dict[str, Any]:
    """A member's `infer` after the handlers outside have seen that of all members.

    Unchanged entries are those of the member; new ones are passed on unchanged, since their
    axes are unknown here. `posterior` is the guide's distribution in the member's shape, under
    the key that gradient estimators read.
    """
    entries = {k: infer[k] if k in sent and v is sent[k] else v for k, v in answer.items()}
    entries.pop(POSTERIOR, None)
    return entries if posterior is None else {**entries, POSTERIOR: posterior}


def lower_posterior(
    posterior: dist.Distribution | None,
    value: Array,
    event_dim: int,
    axis: MemberAxis,
    inward: Callable[[Array], Array],
) -> dist.Distribution | None:
    """The guide's distribution of one member's `value`, from that of all members."""
    if posterior is None:
        return None
    return lower(posterior, axis, jnp.shape(value)[: jnp.ndim(value) - event_dim], inward)
