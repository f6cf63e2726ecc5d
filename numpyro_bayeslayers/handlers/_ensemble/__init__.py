"""Turn any NumPyro model into an ensemble under one plate.

    svi = SVI(ensemble(model, 16), AutoNormal(ensemble(model, 16)), optim, Trace_ELBO())

Two obvious approaches fail. A plate around a model that was not written for it breaks at the
first reshape, or silently broadcasts one member's output against another's data. Mapping the
finished inference (``jax.vmap(svi.update)``) does not produce a model: NUTS, `Predictive` and
handlers cannot be applied to it.

**What happens instead.** The model runs once, under `jax.vmap`, with `lift` as its outermost
handler. Inside, everything is as in a single run: shapes are those of one member, and JAX maps
code that is unaware of leading axes. Each message that reaches `lift` is taken out of the
`vmap` and becomes an ordinary message of the plated shape. With 4 members, a data plate of size
5 and ``w ~ Normal(0, 1).expand([3]).to_event(1)``:

    in the member   numpyro.sample("w", fn)         fn: batch (), event (3,)
          |         the member's own handlers
          v         lift: out through the border    parameters with a leading axis, (4, 3)
    outside         sample message "w"              fn: batch (4, 1), event (3,)
          |         plate("ensemble", 4, dim=-2)    adds its frame
          |         seed, replay, substitute, ...   draw or give the value, (4, 1, 3)
          v         trace                           records a plated site, like any other
    in the member   back through the border         value: (3,), this member's own

Handlers outside therefore see a model with a plate, and the log density is the sum over the
members. Handlers inside see a single member.

**The axis.** The members' axis is just left of all axes that the model's plates and batch
shapes use (at least one, so that a guide without the data plate agrees with its model). A run
of the model under `jax.eval_shape` determines their number; passing `dim` avoids it. Sites
without plates have singleton axes there: (4, 1, 3) above. Params and deterministic values have
the members on their leading axis, (4, 3).

**What members share.** Arguments of the model are not mapped, so data are stored once. Indices
of a subsampling plate are drawn once: all members see the same minibatch. Random keys are
split. Constant initial parameters are shared, and initial values that are functions of a key
differ between members.

The files, in reading order: `_axis` (where the members are in a shape), `_boundary`
(through the `vmap` and back), `_distribution` and `_vmapped` (the plated distribution),
`_site` (a sample message), `_lift` (every message), `_control_flow` (`scan` and `cond`);
`_agreement` has the errors that keep wrong axes from being silent.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
from jax import random
from numpyro.handlers import seed, trace
from numpyro.primitives import _PYRO_STACK

from ... import _checks
from ..._typing import Message, Model
from .._above import no_handlers
from .._feasible import feasible
from . import _agreement
from ._axis import MemberAxis
from ._boundary import Boundary
from ._lift import lift

__all__ = ["PRIVATE_API", "ensemble", "plate_nesting"]

#: What this package uses of NumPyro and JAX that is not documented for users, and why.
#: Tried with NumPyro 0.21.0 and 0.22.0, JAX 0.10.2.
PRIVATE_API = {
    "numpyro.primitives._PYRO_STACK": "the handlers outside of the ensemble",
    "numpyro.primitives.apply_stack": "sends a message to them",
    "numpyro.primitives.Messenger": "base of the handlers",
    "keys of messages": "cond_indep_stack, infer, intermediates, plate_to_scale, scale, stop",
    "_control_flow_done": "a site that `scan` sends up: its time axis belongs to no plate",
    "numpyro.handlers.replay.trace": "the guide's sites, to compare their axes",
    "numpyro.plate.subsample_size": "identifies plates on the stack, also those of enumeration",
    "numpyro.contrib.control_flow.scan.scan_wrapper": "the loop that `scan` runs",
    "numpyro.contrib.control_flow.cond.cond_wrapper": "the branches that `cond` runs",
    "numpyro.contrib.control_flow.cond.wrap_fn": "one branch under its private handlers",
    "numpyro.ops.pytree.PytreeTrace": "sites as an output of a traced function",
    "Distribution._validate_args, MaskedDistribution._mask": "not among the parameters",
    "jax.custom_batching.custom_vmap": "public; that rules run eagerly is relied upon",
    "jax.extend.core.jaxpr_as_fun": "runs the traced body of a `scan`",
}


def ensemble(
    model: Model | None = None,
    num_members: int | None = None,
    name: str = "ensemble",
    dim: int | None = None,
) -> Callable[..., Any]:
    r"""Many members of a model in one plate: each site gets a batch axis of members.

    The result is a NumPyro model whose log density is the sum over members,

    $$\log p(y, \theta_1, \ldots, \theta_E) = \sum_{e=1}^{E} \log p(y, \theta_e),$$

    and which works with every inference algorithm, autoguide and handler of NumPyro. Apply the
    same function to a hand-written guide. The arrays that the model returns get a leading axis
    of members.

    Args:
        model: Any NumPyro model or guide; it need not be written for plates or leading axes.
            All members share its arguments. If it is omitted, the result is a decorator.
        num_members: The number of members, E.
        name: The name of the plate.
        dim: The axis of the plate, negative, left of all axes that the model's plates use. By
            default it is found by tracing the model once without computing anything, and is at
            most -2. A model and a guide with different plate nesting need the same explicit
            `dim`.

    Raises:
        ValueError: If `num_members` or `dim` is out of range; when run, if `dim` is not left of
            the model's plates, if the ensemble is called inside a plate, or if substituted
            values lack the members' axis.
        NotImplementedError: When run, for statements that are not supported in `scan` and
            `cond` here.

    Example:
        >>> import numpyro.distributions as dist
        >>> from numpyro.handlers import seed, trace
        >>> def model(x):
        ...     w = numpyro.sample("w", dist.Normal(0, 1).expand([3]).to_event(1))
        ...     with numpyro.plate("data", 5):
        ...         return numpyro.sample("y", dist.Normal(x @ w, 1.0))
        >>> sites = trace(seed(ensemble(model, 4), 0)).get_trace(jnp.ones((5, 3)))
        >>> sites["w"]["value"].shape, sites["y"]["value"].shape
        ((4, 1, 3), (4, 5))

    Note:
        As the model runs under ``jax.vmap``, a Python `if` on a member's value is not possible,
        and `cond` computes both branches. As in NumPyro, sites inside `jax.jit` or `jax.vmap`
        cannot be handled. Discrete variables are not enumerated through a `scan`.
    """
    if model is None:
        return functools.partial(ensemble, num_members=num_members, name=name, dim=dim)
    _checks.function("model", model)
    size = _checks.size("num_members", num_members)
    name = _checks.label("name", name)
    dim = None if dim is None else _checks.integer("dim", dim, "a negative integer")
    if dim is not None and dim >= 0:
        raise ValueError(
            f"`dim` counts axes from the right and must be negative, got {dim}."
        )

    @functools.wraps(model, updated=())
    def ensembled(*args: Any, **kwargs: Any) -> Any:
        _agreement.no_plate_around(name, size, _PYRO_STACK)
        nesting = plate_nesting(model, *args, **kwargs) if dim is None else -dim - 1
        return _run(model, args, kwargs, MemberAxis(size, nesting), name)

    return ensembled


def plate_nesting(model: Model, *args: Any, **kwargs: Any) -> int:
    """Number of batch axes that the sites of a model use, at least one.

    The default `dim` of an ensemble of the model is ``-(plate_nesting + 1)``.

    Example:
        >>> import numpyro.distributions as dist
        >>> def model():
        ...     with numpyro.plate("rows", 3), numpyro.plate("columns", 2):
        ...         numpyro.sample("y", dist.Normal())
        >>> plate_nesting(model)
        2
    """
    nesting = 0

    def run() -> None:
        nonlocal nesting
        sites = trace(seed(feasible(model), random.key(0))).get_trace(*args, **kwargs)
        nesting = max([1, *map(_batch_ndim, sites.values())])

    with no_handlers():
        jax.eval_shape(run)
    return nesting


def _batch_ndim(site: Message) -> int:
    plates = max((-frame.dim for frame in site.get("cond_indep_stack", ())), default=0)
    if site["type"] != "sample":
        return plates
    fn_ndim = len(site["kwargs"]["sample_shape"]) + len(site["fn"].batch_shape)
    value_ndim = jnp.ndim(site["value"]) - site["fn"].event_dim
    # The time axis of a `scan` is left of the members, just as it is left of plates.
    time_ndim = int(site.get("_control_flow_done", False))
    return max(plates, fn_ndim - time_ndim, value_ndim - time_ndim)


def _run(
    model: Model, args: tuple, kwargs: dict[str, Any], axis: MemberAxis, name: str
) -> Any:
    with numpyro.plate(name, axis.size, dim=axis.dim) as indices:
        _agreement.same_size(name, axis, indices)
        depth = len(_PYRO_STACK)
        constants: Any = None

        def member(index: jax.Array) -> Any:
            nonlocal constants
            with lift(Boundary(index), axis, name, depth):
                out = model(*args, **kwargs)
            arrays, constants = eqx.partition(out, eqx.is_array_like)
            return arrays

        arrays = jax.vmap(member)(jnp.arange(axis.size))
    return eqx.combine(arrays, constants)
