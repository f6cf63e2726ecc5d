"""The handler at the boundary, with a method for each kind of message.

`lift` is the outermost handler of a member. It stops each message: the contents leave the
`vmap`, a message of the plated shape is sent to the stack outside, and its value there is
returned as the member's value.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, PyTree
from numpyro.handlers import block, seed
from numpyro.primitives import _PYRO_STACK, Messenger, apply_stack

from ..._typing import Message
from ...primitives import POSTERIOR, Site, posterior_of
from . import _agreement, _site
from ._axis import MemberAxis, is_array, leading
from ._boundary import Boundary
from ._control_flow import Flow
from ._distribution import lift as lift_distribution

_BAD_LEAD = (
    "The site {name!r} of an ensemble was given a value of shape {shape} from outside; it "
    "needs a leading axis with one entry for each of the {size} members."
)


class lift(Messenger):  # noqa: N801 (named as NumPyro's handlers are)
    """Answers the messages of a member using the handlers around all members.

    Args:
        boundary: The way out of the members' `vmap`.
        axis: Where the members stand in the shapes outside.
        name: The name of the ensemble's plate.
        depth: Number of handlers on the stack outside, of which the ensemble's plate is the last.
    """

    #: `primitives.plate_shape` stops here: the ensemble's plate is invisible to a member.
    hides_plates = True

    def __init__(self, boundary: Boundary, axis: MemberAxis, name: str, depth: int) -> None:
        self.boundary = boundary
        self.axis = axis
        self.name = name
        self.depth = depth
        self._mutables: list[tuple[dict[str, Any], dict[str, Any]]] = []
        super().__init__()

    def process_message(self, msg: Message) -> None:
        """Finish a member's message; the handlers outside see the plated one instead."""
        answer = getattr(self, f"_answer_{msg['type']}", None)
        if answer is not None:
            _agreement.no_plate_across(self.name, self.axis, msg)
            answer(msg)
        # Unknown types stay with the member (its own plates handle "subsample"): their contents
        # would leave the `vmap` as tracers.
        msg["stop"] = True

    def __exit__(self, *exception: Any) -> None:
        """Copy the members' mutable values to those outside."""
        if exception[0] is None:
            for mine, outside in self._mutables:
                self.boundary.outward(
                    mine, lambda led, o=outside: o.update(self._spread(led))
                )
        super().__exit__(*exception)

    def _answer_sample(self, msg: Message) -> None:
        mine = _site.contents(msg)
        fn = mine["fn"]

        def emit(led: dict[str, Any]) -> tuple[Message, Message, dist.Distribution | None]:
            sent = _site.plated(msg, led, self.axis)
            out = self.send({**sent, "infer": dict(sent["infer"])}, inside=sent)
            # `posterior_of` recognizes the guide's value by identity, which is lost here.
            is_latent = not out.get("is_observed", True)
            site = Site(out["value"], out["name"], fn.event_dim, out.get("infer", {}))
            return sent, out, posterior_of(site) if is_latent else None

        sent, out, posterior = self.boundary.outward(mine, emit)
        _agreement.same_dim(self.name, self.axis, out, _PYRO_STACK[: self.depth])
        if out["value"] is not sent["value"]:
            msg["value"] = self.boundary.inward(_site.pull_value(out, fn, self.axis))
        msg["name"] = out["name"]
        if out["type"] == "sample":
            lowered = _site.lower_posterior(
                posterior, msg["value"], fn.event_dim, self.axis, self.boundary.inward
            )
            msg["infer"] = _site.lower_infer(
                msg["infer"], sent["infer"], out["infer"], lowered
            )
            msg["is_observed"] = out["is_observed"]
        else:  # `reparam` outside turned it into a deterministic site, with only these keys
            msg["type"] = out["type"]
            for key in set(msg) - {"type", "name", "value", "cond_indep_stack"}:
                del msg[key]

    def _answer_centering(self, msg: Message) -> None:
        """Ask the handlers outside the `vmap`: coordinates are the same for all members."""
        msg["value"] = self.send(dict(msg))["value"]

    def _answer_deterministic(self, msg: Message) -> None:
        def emit(led: PyTree) -> tuple[Message, Message]:
            sent = self._copy(msg, value=self._spread(led))
            return sent, self.send(dict(sent))

        self._take(msg, *self.boundary.outward(msg["value"], emit))

    def _answer_param(self, msg: Message) -> None:
        event_dim = msg["kwargs"].get("event_dim")

        def place(led: PyTree) -> PyTree:
            value = self._spread(led)
            if event_dim is None:
                return value
            return jax.tree.map(lambda x: self.axis.insert(x, event_dim), value)

        def init(key: Array) -> PyTree:
            with block(), seed(rng_seed=key):
                return msg["fn"](*msg["args"], **msg["kwargs"])

        def init_all(*args: Any, **kwargs: Any) -> PyTree:
            keys = random.split(numpyro.prng_key(), self.axis.size)
            return place(jax.vmap(init)(keys))

        # A function of a key: passed in a closure since NumPyro 0.22, and as an argument
        # before.
        is_lazy = not msg["args"] or callable(msg["args"][0])

        def emit(led: tuple) -> tuple[Message, Message]:
            args, value = place(led)
            updates = {"fn": init_all, "args": ()} if is_lazy else {"args": args}
            kwargs = dict(msg["kwargs"])
            sent = self._copy(msg, **updates, value=value, kwargs=kwargs)
            return sent, self.send(dict(sent))

        crossing = (() if is_lazy else msg["args"], msg["value"])
        sent, out = self.boundary.outward(crossing, emit)
        if out["type"] == "sample":  # NumPyro's `lift` gave it a prior
            event_dim = out["fn"].event_dim
        if event_dim is None:
            self._take(msg, sent, out)
            return
        shapes = jax.eval_shape(init, random.key(0)) if is_lazy else msg["args"][0]

        def pull(x: Array, one: Any) -> Array:
            if jnp.shape(x) == (self.axis.size, *jnp.shape(one)):
                return x  # stacked fits of single members have no axes for plates
            return self.axis.pull(x, event_dim, max(jnp.ndim(one) - event_dim, 0))

        self._take(msg, sent, {**out, "value": jax.tree.map(pull, out["value"], shapes)})

    def _answer_mutable(self, msg: Message) -> None:
        if msg["value"] is None:
            return

        def emit(led: PyTree) -> tuple[Message, Message]:
            value = self._spread(led)
            sent = {**msg, "value": value, "args": (value,)}
            return sent, self.send(dict(sent))

        sent, out = self.boundary.outward(msg["value"], emit)
        self._take(msg, sent, out)
        if isinstance(out["value"], dict):
            self._mutables.append((msg["value"], out["value"]))

    def _answer_plate(self, msg: Message) -> None:
        if msg["value"] is None and not _site.needs_key(msg):
            return  # the member's own `seed` draws its own minibatch
        # The indices are not broadcast: all members see the same minibatch.
        out = self.boundary.outward((), lambda _: self.send(self._copy(msg)))
        msg["value"], msg["name"] = out["value"], out["name"]

    def _answer_prng_key(self, msg: Message) -> None:
        if not _site.needs_key(msg):
            return

        def emit(_: tuple) -> Array | None:
            key = self.send({**msg, "kwargs": dict(msg["kwargs"])})["value"]
            return None if key is None else random.split(key, self.axis.size)

        msg["value"] = self.boundary.inward(self.boundary.outward((), emit))

    def _answer_inspect(self, msg: Message) -> None:
        def emit(_: tuple) -> Any:
            mask = self.send({**msg, "mask": None})["mask"]
            return self.axis.pull(mask, 0) if is_array(mask) else mask

        mask = self.boundary.outward((), emit)
        mask = self.boundary.inward(mask) if is_array(mask) else mask
        if mask is not None:
            msg["mask"] = mask if msg["mask"] is None else mask & msg["mask"]

    def _answer_linear(self, msg: Message) -> None:
        def emit(led: dict[str, Any]) -> tuple[Message, Message]:
            sites = {name: self._plated_operand(led[name]) for name in ("weight", "bias")}
            args = self._spread(led["args"])
            shared = [
                (copy, x)
                for copy, x in zip(args, led["args"], strict=True)
                if copy is not x
            ]
            mapped = self.axis.vmap(msg["fn"])

            def fn(*args: Array | None) -> Array:
                # Copies for handlers that need all members are not needed here.
                return mapped(*(next((x for c, x in shared if c is a), a) for a in args))

            value = None if led["value"] is None else self.axis.spread(led["value"])
            # The class of the message is kept, as it provides `msg["name"]` without an entry.
            sent = type(msg)({**msg, **sites, "fn": fn, "args": args, "value": value})
            return sent, self.send(type(msg)(sent))

        keys = ("args", "value", "weight", "bias")
        self._take(msg, *self.boundary.outward({k: msg[k] for k in keys}, emit))

    def _plated_operand(self, site: Site | None) -> Site | None:
        """The site of a weight for handlers outside, with all members on its leading axis."""
        if site is None:
            return None
        posterior = site.infer.get(POSTERIOR)
        infer = _site.shared(site.infer)
        if posterior is not None:
            leftmost = MemberAxis(self.axis.size, len(posterior.batch_shape))
            infer[POSTERIOR] = lift_distribution(posterior, leftmost)
        return site._replace(value=self.axis.spread(site.value), infer=infer)

    def _answer_control_flow(self, msg: Message) -> None:
        # NumPyro allows no plate around control flow: the loop opens it in its body.
        outside = partial(self.send, depth=self.depth - 1)
        msg["value"] = Flow(self.boundary, self.axis, self.name, outside).run(msg)

    def _copy(self, msg: Message, **updates: Any) -> Message:
        return {**msg, "cond_indep_stack": list(msg["cond_indep_stack"]), **updates}

    def send(
        self, msg: Message, inside: Message | None = None, depth: int | None = None
    ) -> Message:
        """Apply only the handlers outside to a message of all members."""
        depth = self.depth if depth is None else depth
        members_handlers = _PYRO_STACK[depth:]
        _PYRO_STACK[depth:] = [] if inside is None else [_inherit(inside)]
        try:
            return apply_stack(msg)
        finally:
            _PYRO_STACK[depth:] = members_handlers

    def _take(self, msg: Message, sent: Message, out: Message) -> None:
        """Accept the answer to a message with a leading member axis."""
        msg["name"] = out["name"]
        if out["value"] is sent["value"]:
            return  # unchanged by handlers: the member keeps its own
        for x in jax.tree.leaves(out["value"]):
            if jnp.shape(x)[:1] not in ((1,), (self.axis.size,)):
                error = {"name": out["name"], "shape": jnp.shape(x), "size": self.axis.size}
                raise ValueError(_BAD_LEAD.format(**error))
        msg["value"] = self.boundary.inward(out["value"])

    def _spread(self, tree: PyTree) -> PyTree:
        """Broadcast the leading axes to all members; leaves that are not arrays are unchanged."""

        def one(x: Any) -> Any:
            if not isinstance(x, (bool, int, float, complex)) and not is_array(x):
                return x
            x = leading(x)
            return x if x.shape[0] == self.axis.size else self.axis.spread(x)

        return jax.tree.map(one, tree)


class _inherit(Messenger):  # noqa: N801
    """Applies the member's plates and scales of a site to the sites that replace it.

    A handler outside may answer a site by sending others (`reparam` does). These start above
    the member's own handlers and would miss their effects.
    """

    def __init__(self, msg: Message) -> None:
        self.frames = tuple(msg["cond_indep_stack"])
        self.scale = msg["scale"]
        self.is_next = True
        super().__init__()

    def process_message(self, msg: Message) -> None:
        if self.is_next:  # the site itself
            self.is_next = False
        elif msg["type"] in ("sample", "deterministic"):
            present = {frame.dim for frame in msg["cond_indep_stack"]}
            msg["cond_indep_stack"].extend(f for f in self.frames if f.dim not in present)
            if msg["type"] == "sample" and msg["scale"] is None:
                msg["scale"] = self.scale
