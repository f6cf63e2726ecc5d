"""`scan` and `cond` of NumPyro inside a member.

NumPyro runs the body of a `scan` behind a `block`, with private handlers that it makes from
those around (``substitute_stack``), and sends the finished sites up afterwards. For an
ensemble those private handlers must see plated sites, so the `scan` has to run outside
the members' `vmap`, with a body that steps all members at once.

The body is a Python function that may close over values of a member, which cannot be taken
outside as they are. It is therefore traced once, to a program in which each site waits as
an operation (`_Staged`) and the closed-over values are operands. Outside, that program is
mapped over the members inside the loop; the waiting sites then run, plated, under the
handlers that the loop has made.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, PyTree
from numpyro.contrib.control_flow.cond import cond_wrapper, wrap_fn
from numpyro.contrib.control_flow.scan import scan_wrapper
from numpyro.handlers import trace
from numpyro.ops.pytree import PytreeTrace
from numpyro.primitives import Messenger, apply_stack

from ..._typing import Message, PRNGKey
from . import _agreement, _site
from ._axis import MemberAxis
from ._boundary import Boundary, for_all
from ._distribution import lift

_UNSUPPORTED = "{what} inside `{flow}` in an ensemble's member is not supported: {instead}."
_ENUMERATED = (
    "Discrete latent variables cannot be enumerated where an ensemble's member uses `scan` or "
    "`cond`: fit the members one by one."
)


class _Program(NamedTuple):
    """A traced function of operands: its program, and the values that it closed over."""

    jaxpr: Any
    constants: list[Array]
    treedef: Any

    def run(self, constants: list[Array], *operands: PyTree) -> PyTree:
        """Evaluate the program; its sites are sent to the current handlers."""
        closed = ClosedJaxpr(self.jaxpr, constants)
        out = jaxpr_as_fun(closed)(*jax.tree.leaves(operands))
        return jax.tree.unflatten(self.treedef, out)


class _Staged(Messenger):
    """Turns each site of a body into an operation that waits until all members run."""

    hides_plates = True

    def __init__(self, flow: "Flow", what: str, key: PRNGKey | None) -> None:
        self.index = flow.boundary.index
        self.axis = flow.axis
        self.name = flow.name
        self.what = what
        self.key = key
        super().__init__()

    def process_message(self, msg: Message) -> None:
        """Answer with the result of an operation in place of the result of the stack."""
        _agreement.no_plate_across(self.name, self.axis, msg)
        if msg["type"] == "sample":
            self._stage_sample(msg)
        elif msg["type"] == "prng_key" and _site.needs_key(msg) and self.key is not None:
            msg["value"] = for_all(self.index, (), lambda _: self._keys(), lambda: self.key)
        elif msg["type"] == "plate" and msg["value"] is None:
            self._refuse("subsampling", "draw the minibatch before it")
        elif msg["type"] in ("param", "mutable", "control_flow"):
            self._refuse(f"a {msg['type']!r} site", "move it out of the body")
        msg["stop"] = True

    def _stage_sample(self, msg: Message) -> None:
        mine = _site.contents(msg)
        fn, value = mine["fn"], msg["value"]
        original = dict(msg)  # a snapshot: `emit` runs after the member has finished

        def draw() -> Array:
            return fn.sample(jax.random.key(0)) if value is None else jnp.asarray(value)

        shape = jax.eval_shape(draw)

        def emit(led: dict[str, Any]) -> Array:
            out = apply_stack(_site.plated(original, led, self.axis))
            return self.axis.spread(_site.pull_value(out, fn, self.axis))

        msg["value"] = for_all(
            self.index, mine, emit, lambda: jnp.zeros(shape.shape, shape.dtype)
        )
        msg["fn"], msg["kwargs"] = fn, {"rng_key": None, "sample_shape": ()}

    def _keys(self) -> Array:
        return jax.random.split(numpyro.prng_key(), self.axis.size)

    def _refuse(self, what: str, instead: str) -> None:
        raise NotImplementedError(
            _UNSUPPORTED.format(what=what, flow=self.what, instead=instead)
        )


class Flow(NamedTuple):
    """Runs a `scan` or `cond` of a member for all members.

    Args:
        boundary: The way out of the members' `vmap`.
        axis: Where the members stand in the shapes outside.
        name: The name of the ensemble's plate.
        send: Applies the handlers outside the ensemble's plate to a message.
    """

    boundary: Boundary
    axis: MemberAxis
    name: str
    send: Callable[[Message], Message]

    def run(self, msg: Message) -> tuple:
        """The value of a ``control_flow`` message, in the member's shapes.

        Raises:
            NotImplementedError: If it is neither `scan` nor `cond`, or holds what is not
                supported there.
        """
        if msg["fn"] is scan_wrapper:
            return self._scan(msg)
        if msg["fn"] is cond_wrapper:
            return self._cond(msg)
        raise NotImplementedError(
            "Only `scan` and `cond` of numpyro.contrib.control_flow can be used inside an "
            f"ensemble's member, not {msg['fn']!r}."
        )

    def _scan(self, msg: Message) -> tuple:
        body, init, xs, length, reverse = msg["args"]
        init, xs = jax.tree.map(jnp.asarray, (init, xs))
        length = jax.tree.leaves(xs)[0].shape[0] if length is None else length
        key = self._key()
        program = self._stage("scan", key, body, init, jax.tree.map(lambda x: x[0], xs))

        def emit(led: tuple) -> tuple:
            constants, init, xs = led

            def step(carry: PyTree, x: PyTree) -> tuple:
                (carry, y), sites = self._all(program, constants, carry, x)
                return carry, (y, sites)

            init = jax.tree.map(self.axis.spread, init)
            args = (step, init, _swap(xs), length, reverse)
            (_, _, carry), (sent, ys) = self._loop(msg, scan_wrapper, args, key)
            return carry, _swap(ys), _is_observed(sent)

        crossing = (program.constants, init, xs)
        carry, ys, is_observed = self.boundary.outward(crossing, emit)
        carry, (ys, sites) = self.boundary.inward((carry, ys))
        # Time is a leading axis of one member, as the members are of the ensemble.
        time = MemberAxis(length, self.axis.nesting)
        for name, flag in is_observed.items():
            site = sites.trace[name]
            value = time.insert(site["value"], site["fn"].event_dim)
            site.update(fn=lift(site["fn"], time), value=value, is_observed=flag)
        return (length, key, carry), (sites, ys)

    def _cond(self, msg: Message) -> tuple:
        is_true, *branches, operand = msg["args"]
        is_true, operand = jax.tree.map(jnp.asarray, (is_true, operand))
        key = self._key()
        programs = [self._stage("cond", key, branch, operand) for branch in branches]

        def emit(led: tuple) -> tuple:
            is_true, constants, operand = led

            def run_both(*_: Any, rng_key: PRNGKey | None, substitute_stack: list) -> list:
                runs = [
                    wrap_fn(partial(self._all, program, values), substitute_stack)
                    for program, values in zip(programs, constants, strict=True)
                ]
                return [run((rng_key, operand)) for run in runs]

            def choose(a: Array, b: Array) -> Array:
                return jnp.where(is_true.reshape((-1,) + (1,) * (a.ndim - 1)), a, b)

            outs = self._loop(msg, run_both, (is_true, *branches, operand), key)
            (if_true, sent), (if_false, _) = outs
            return jax.tree.map(choose, if_true, if_false), _is_observed(sent)

        crossing = (is_true, [p.constants for p in programs], operand)
        out, is_observed = self.boundary.outward(crossing, emit)
        value, sites = self.boundary.inward(out)
        for name, flag in is_observed.items():
            sites.trace[name]["is_observed"] = flag
        return value, sites

    def _key(self) -> PRNGKey | None:
        """One key for the whole loop, from the `seed` outside."""
        msg = {"type": "prng_key", "fn": lambda rng_key: rng_key, "args": (), "value": None}
        return self.boundary.outward(
            (), lambda _: self.send({**msg, "kwargs": {"rng_key": None}})["value"]
        )

    def _stage(
        self, what: str, key: PRNGKey | None, body: Callable[..., Any], *operands: PyTree
    ) -> _Program:
        """Trace `body` to a program that returns its value and the trace of its sites."""

        def staged(*operands: PyTree) -> tuple[Any, PytreeTrace]:
            with _Staged(self, what, key), trace() as sites:
                out = body(*operands)
            return out, PytreeTrace(sites)

        closed, shapes = jax.make_jaxpr(staged, return_shape=True)(*operands)
        return _Program(closed.jaxpr, closed.consts, jax.tree.structure(shapes))

    def _all(self, program: _Program, constants: list[Array], *operands: PyTree) -> PyTree:
        """Run a staged program for all members, in a separate plate, as NumPyro requires."""
        with numpyro.plate(self.name, self.axis.size, dim=self.axis.dim):
            return self.axis.vmap(program.run)(constants, *operands)

    def _loop(
        self, msg: Message, fn: Callable[..., Any], args: tuple, key: PRNGKey | None
    ) -> Any:
        """Send the control flow of all members to the handlers outside."""

        def run(
            *args: Any, enum: bool = False, first_available_dim: Any = None, **kw: Any
        ) -> Any:
            if enum:
                raise NotImplementedError(_ENUMERATED)
            return fn(*args, **kw)

        kwargs = {**msg["kwargs"], "rng_key": key, "substitute_stack": []}
        return self.send({**msg, "fn": run, "args": args, "kwargs": kwargs})["value"]


def _swap(tree: PyTree) -> PyTree:
    """Exchange the axes of members and time."""
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)


def _is_observed(sites: PytreeTrace) -> dict[str, bool]:
    """Which sites the handlers outside have observed, by name."""
    samples = {n: site for n, site in sites.trace.items() if site["type"] == "sample"}
    return {name: site["is_observed"] for name, site in samples.items()}
