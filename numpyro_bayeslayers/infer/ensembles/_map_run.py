"""Training runs of ensembles of modes: initial values, identity of the run, held-out rows."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from ... import _checks, _processes
from ..._typing import Params, PRNGKey
from ..compilation._fingerprint import digest, settings_of
from ..rows._arguments import Arguments, put_together, take_apart
from ..rows._inputs import as_arrays, check_data
from ..training._checkpoint import run_identity
from ..training._description import Description, data_texts, shapes_text
from ..training._divided import HeldOut, divided
from ..training._identity import Known
from ..training._validation import Held, Scorer
from ._functions import EnsembleResult, EnsembleState, LogJoint, two_scalars

_STRUCTURE = (
    "`init` must be an earlier result, a state, or parameters of the structure that `init_fn` "
    "returns, {own}; got {given}."
)
_SHAPE = "`init{path}` must have shape {one} or {each}, got {given}."


class OfMap(NamedTuple):
    """The settings that determine the runs of an `EnsembleMAP`, apart from its data."""

    log_joint: LogJoint
    init_fn: Callable[..., Any]
    optimizer: optax.GradientTransformation
    size: int
    prior_weight: Any
    repulsion: Any = None

    def known(self, state: EnsembleState) -> Known:
        """The description of a run with a state of these shapes, without the data."""
        is_array = lambda x: hasattr(x, "dtype")
        one = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) if is_array(x) else x
        shapes = jax.tree.map(one, (state.params, state.opt_state))
        apart = {} if self.repulsion is None else {"repulsion": self.repulsion}
        fields = {
            "parameters": shapes_text({"params": shapes[0]}),
            "members": {"": str(self.size)},
            "optimizer": settings_of(self.optimizer),
            "loss": settings_of({"prior_weight": self.prior_weight} | apart),
        }
        return Known(Description(fields), shapes)

    def identity(
        self, key: PRNGKey, options: dict[str, Any], of_run: Description
    ) -> dict[str, Any]:
        """The properties that a run and a checkpoint it resumes from must have in common."""
        code = {"start": settings_of(self.init_fn), "model": settings_of(self.log_joint)}
        return run_identity(key, options, Description({**of_run.fields, **code}))


def plain_state(state: EnsembleState) -> EnsembleState:
    """The part of a state that a step reads and returns."""
    return state._replace(order_key=None, description=None)


def trained_arrays(state: EnsembleState) -> Params:
    """The arrays among the parameters."""
    return eqx.filter(state.params, eqx.is_array)


def copied(state: EnsembleState) -> EnsembleState:
    """A copy whose buffers the loop may reuse."""
    return jax.tree.map(lambda a: jnp.copy(a) if eqx.is_array(a) else a, state)


def shown_with(state: EnsembleState) -> Callable[[Params], Params]:
    """The function from the arrays among the parameters to the parameters."""
    rest = eqx.filter(state.params, eqx.is_array, inverse=True)
    return lambda arrays: eqx.combine(arrays, rest)


def divided_pair(
    validation: Any, parts: Arguments, key: PRNGKey
) -> tuple[Arguments, HeldOut | None]:
    """Inputs and outputs of the fit, and those held out; see `divided`."""
    parts, held = divided(validation, parts, key, None, names=("x", "y"))
    if held is None:
        return parts, None
    args, kwargs = put_together(held.parts.rows, held.parts.shared, held.parts.frame)
    pair = tuple(kwargs[name] for name in ("x", "y") if name in kwargs)
    return parts, HeldOut(take_apart((*args, *pair), {}))


def started_at(
    init: Any,
    start: EnsembleState,
    size: int,
    restart: Callable[[Params], EnsembleState],
) -> EnsembleState:
    """The initial state at given parameters.

    Args:
        init: An earlier result, or parameters of one member or of all.
        start: The state from which members would start without `init`.
        size: The number of members.
        restart: The function from parameters to a state with new optimizer states.

    Raises:
        ValueError: If their structure or shapes differ, or they are not finite.
    """
    own = start.params
    given = init.params if isinstance(init, EnsembleResult) else init
    if isinstance(own, dict) and isinstance(given, Mapping):
        for name in given:
            _checks.one_of("init", name, own)
        given = {**own, **given}
    given = as_arrays(given)
    shapes = jax.tree.structure(own), jax.tree.structure(given)
    if shapes[0] != shapes[1]:
        raise ValueError(_STRUCTURE.format(own=shapes[0], given=shapes[1]))
    pairs = jax.tree_util.tree_leaves_with_path(own)
    is_result = isinstance(init, EnsembleResult)
    leaves = [
        _led(jax.tree_util.keystr(path), value, leaf, size, is_result=is_result)
        for (path, leaf), value in zip(pairs, jax.tree.leaves(given), strict=True)
    ]
    return restart(shapes[0].unflatten(leaves))._replace(order_key=start.order_key)


def _led(path: str, value: Any, own: Any, size: int, *, is_result: bool) -> Any:
    """Parameters of all members, from those of one member or of each."""
    if not eqx.is_array(own):
        return own
    shape, given = own.shape[1:], jnp.shape(value)
    one = (1, *shape) if is_result else shape
    if given not in (one, own.shape):
        raise ValueError(_SHAPE.format(path=path, one=one, each=own.shape, given=given))
    if jnp.issubdtype(own.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(value, own.shape)
    value = _processes.whole(value)
    _checks.no_nan(f"init{path}", value)
    return jnp.asarray(np.broadcast_to(value, own.shape), own.dtype)


def scorer_of(log_joint: LogJoint) -> Scorer:
    """The function that scores members by the log likelihood of held-out rows, in nats per row."""

    def score(state: EnsembleState, x: PyTree, y: PyTree, rows: Any) -> Float[Array, " e"]:
        one = lambda params: two_scalars(log_joint(params, x, y))[0]
        return eqx.filter_vmap(one)(state.params) / rows

    return Scorer(score, trained_arrays)


def held_of(scorer: Scorer, held: HeldOut) -> Held:
    """Held-out rows with their scorer."""
    (x, y), _ = held.parts.frame.fill(held.parts.rows)
    count = check_data(x=x, y=y)
    return Held(scorer, (x, y, np.float32(count)), count, 1, data_texts(held.parts))


def digests(params: Params) -> dict[str, str]:
    """Hashes that identify parameters, as text."""
    pairs = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(p): digest(x) for p, x in pairs if eqx.is_array(x)}
