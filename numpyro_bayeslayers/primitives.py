"""The package's only interface to NumPyro's effect stack.

A layer draws its parameters with `sample` (or `sample_site`, `param`) and applies them with
`linear`, inside a `scope` that prefixes their names with the layer's. Both send messages that
handlers may answer, so the behavior of a layer can be changed from outside: NumPyro's handlers
see ordinary sites, and the gradient estimators of `numpyro_bayeslayers.handlers` see one
``"linear"`` message for each product.

A ``"linear"`` message has the keys that every message has (``type``, ``fn``, ``args``,
``kwargs``, ``value``, ``cond_indep_stack``) and three more: ``op``, the `AbstractLinearOp`;
``weight`` and ``bias``, the `Site` each operand came from. ``fn(x, weight, bias)`` takes the
operands in their natural shapes, so a handler can evaluate the map at other weights, such as
the posterior mean.

The message is excluded from traces, like NumPyro's own ``control_flow``, but still provides
``site["name"]`` (``"hidden.weight$linear"``), so that predicates for sample sites keep working.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.handlers import replay, seed, trace
from numpyro.primitives import _PYRO_STACK, Messenger, apply_stack, mutable, plate

from ._linear_op import (
    AbstractLinearOp as AbstractLinearOp,
    Dense as Dense,
    DenseVector as DenseVector,
    Lookup as Lookup,
)
from ._row_shape import check_rows
from ._scope import join, scope as scope
from ._site import (
    Site as Site,
    factorized_normal as factorized_normal,
    line_up as line_up,
)
from ._typing import Message, PRNGKey

# Key for the guide's distribution where the value from `replay` loses its identity.
POSTERIOR = "_bayeslayers_posterior"
# Marks a value that `tie` returned to a repeated call.
TIED = "_bayeslayers_tied"
# Marks an observed factor that is a term of the divergence between guide and prior.
DIVERGENCE = "_bayeslayers_divergence"


class _Capture(Messenger):
    """Innermost handler, whose `postprocess_message` runs last and sees the final message."""

    def __init__(self) -> None:
        self.message: Message = {}
        super().__init__()

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] in ("sample", "param", "deterministic"):
            self.message = msg


_DUPLICATE = (
    "The site {name!r} exists already in this model: a layer is called twice, or two layers "
    "have one name. For two sets of weights, give each layer its own `name`; to share one "
    "set, call the layer under `with tie(layer) as shared:` "
    "(numpyro_bayeslayers.handlers.tie)."
)


_NO_KEY = (
    "{what} needs a random key: run the model under `numpyro.handlers.seed`, or in an "
    "inference algorithm."
)


def _claim(name: str) -> None:
    """Raise an error for a second draw of the same name within one run of a seeded model.

    `trace` checks this only for sample sites. `seed(model)` creates a new handler for each
    call, so a note on that handler lasts for one run. A trace inside it counts as a separate
    run: without `jit`, an autoguide makes several to find its initial values.
    """
    for handler in reversed(_PYRO_STACK):
        if isinstance(handler, trace) or (isinstance(handler, seed) and handler.stateful):
            # `trace` starts a new record each time that it is entered.
            run = getattr(handler, "trace", None)
            of, claimed = handler.__dict__.get("_bayeslayers_claimed", (None, None))
            if claimed is None or of is not run:
                of, claimed = handler.__dict__["_bayeslayers_claimed"] = run, set()
            if name in claimed:
                raise ValueError(_DUPLICATE.format(name=name))
            claimed.add(name)
            return


def _send(name: str, statement: Callable[[], Any]) -> Message:
    """Run one NumPyro statement, of the site `name`, and return its final message."""
    capture = _Capture()
    try:
        with capture:
            value = statement()
    except AssertionError as error:
        # NumPyro only asserts these two conditions, without a message.
        if "unique names" in str(error):
            raise ValueError(_DUPLICATE.format(name=str(error).split("`")[1])) from None
        if not any(isinstance(handler, seed) for handler in _PYRO_STACK):
            raise ValueError(_NO_KEY.format(what=f"The site {name!r}")) from error
        raise
    msg = capture.message
    if msg["type"] == "sample":
        check_rows(msg)
    if not msg.get(TIED):
        _claim(msg["name"])
    # A user's `substitute` may return a number; an array must remain the same object.
    return {**msg, "value": value if isinstance(value, Array) else jnp.asarray(value)}


def sample_site(name: str, fn: dist.Distribution) -> Site:
    """Draw the site `name` from `fn` and keep its origin, for use with `linear`.

    Raises:
        ValueError: If the model has a site of this name already.
    """
    msg = _send(name, lambda: numpyro.sample(name, fn))
    return Site(msg["value"], msg["name"], fn.event_dim, msg.get("infer", {}) | _tied(msg))


def observe(name: str, fn: dist.Distribution, y: Array | None) -> Array:
    """The likelihood of `y` at the site `name`; draws of it if `y` is None.

    Raises:
        ValueError: If the model already has a site of this name, or if an outer weight or mask
            of the site does not match the observations.
    """
    return _send(name, lambda: numpyro.sample(name, fn, obs=y))["value"]


def _tied(msg: Message) -> dict[str, Any]:
    return {TIED: True} if msg.get(TIED) else {}


def sample(name: str, fn: dist.Distribution, rank: int = 0) -> Array:
    """Draw the site `name` from `fn`, aligned with values of event rank `rank`.

    The site has its natural event shape in the trace. The returned value has singleton axes
    between the plates on its left and its event, so that it broadcasts against the output of
    `linear`, which has rank 2 (rows and features).

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> from numpyro.handlers import seed
        >>> def model():
        ...     with numpyro.plate("groups", 4):
        ...         return sample("scale", dist.HalfNormal(1.0), rank=2)
        >>> seed(model, 0)().shape
        (4, 1, 1)
    """
    return sample_site(name, fn).line_up(rank)


def param(
    name: str,
    init: Callable[[PRNGKey, tuple[int, ...]], Array],
    shape: tuple[int, ...],
    **kwargs: Any,
) -> Site:
    """Register the optimized parameter `name` of event shape `shape`, one for each plate cell.

    Args:
        name: The site's name.
        init: Function from a key and a shape, including plates, to initial values.
        shape: The event's shape.
        kwargs: Passed to `numpyro.param` (for example ``constraint=``).

    Raises:
        ValueError: If no handler provides a key, or if the name is taken.
    """
    full = plate_shape(subsampled=False) + shape
    event_dim = len(shape)

    def start(key: PRNGKey | None) -> Array:
        if key is None:
            raise ValueError(_NO_KEY.format(what=f"The initial value of {name!r}"))
        return init(key, full)

    msg = _send(name, lambda: numpyro.param(name, start, event_dim=event_dim, **kwargs))
    return Site(msg["value"], msg["name"], event_dim, _tied(msg))


def divergence(name: str, value: Array) -> None:
    """Subtract a closed-form divergence, `value` in nats, from the log density.

    It is a `numpyro.factor` that handlers can distinguish from a likelihood: `temper` scales it
    with the other latent terms.
    """
    empty = jnp.empty(jnp.shape(value) + (0,))
    infer = {DIVERGENCE: True}
    _send(name, lambda: numpyro.sample(name, dist.Unit(-value), obs=empty, infer=infer))


def prng_key(what: str) -> PRNGKey:
    """A new key from the enclosing `seed`; without one, the error names `what`."""
    key = numpyro.prng_key() if _PYRO_STACK else None
    if key is None:
        raise ValueError(_NO_KEY.format(what=what))
    return key


def plate_shape(*, subsampled: bool = True) -> tuple[int, ...]:
    """Sizes of the enclosing plates of a site, leftmost first.

    The size of a plate is that of its subsample, or, with ``subsampled=False``, its full size.
    """
    frames: dict[int, int] = {}
    for handler in reversed(_PYRO_STACK):
        if getattr(handler, "hides_plates", False):
            break
        if isinstance(handler, plate):
            frames[handler.dim] = handler.subsample_size if subsampled else handler.size
    width = max((-dim for dim in frames), default=0)
    return tuple(frames.get(dim, 1) for dim in range(-width, 0))


def posterior_of(site: Site) -> dist.Distribution | None:
    """The guide's distribution of `site`, or None if its value has another origin.

    In every ELBO the model runs under `numpyro.handlers.replay`, whose trace contains the
    guide's site with the same value object that the model received. The site is found by this
    object, so scopes inside or outside `replay` do not matter. Under NUTS, `Predictive` and
    `substitute` there is no such site.
    """
    if POSTERIOR in site.infer:
        return site.infer[POSTERIOR]
    for handler in reversed(_PYRO_STACK):
        if isinstance(handler, replay):
            for guide_site in handler.trace.values():
                if guide_site["type"] == "sample" and guide_site["value"] is site.value:
                    return guide_site["fn"]
    return None


class NewGroups(NamedTuple):
    """Categories that a model was not fitted to.

    Args:
        index: The categories of rows, with the new ones numbered after the others.
        count: The number of new categories.
        law: ``"draw"`` for a draw from the population, ``"mean"`` for its mean.
    """

    index: Array
    count: int
    law: str


def categories(index: Array, num_categories: int) -> NewGroups | None:
    """Announce that rows look up `num_categories` categories by the integers `index`.

    This has no effect unless a handler records the ``"categories"`` message, or answers it with
    the new categories of the rows.
    """
    about = index, num_categories
    return message("categories", lambda *_: None, about) if _PYRO_STACK else None


def effect(name: str, value: Array) -> None:
    """Announce the contribution of the layer `name` to rows, for handlers of ``"effect"``."""
    if _PYRO_STACK:
        message("effect", lambda *_: None, (name, value))


def missing_of(y: np.ndarray) -> Any:
    """The entries of `y` that a handler treats as missing; False without such a handler."""
    return message("missing", lambda _: False, (y,)) if _PYRO_STACK else False


def step() -> Array:
    """Number of updates that the running optimization has made, counted from zero.

    This package's trainer answers the ``"step"`` message. Under NumPyro's `SVI`, the count is
    stored in a mutable site, one for the model and one for the guide (the model is the one that
    runs under `replay`), and thus in the `SVIState`.
    """
    return message("step", _counted_step, ())


_COUNTS = {role: f"bayeslayers${role}_step" for role in ("model", "guide")}


def counts_steps(name: str) -> bool:
    """Whether a mutable site is where `step` keeps its count."""
    return name.endswith(tuple(_COUNTS.values()))


def _counted_step() -> Array:
    role = "model" if is_replayed() else "guide"
    # `SVI.init` runs model and guide once before the first update: that is step -1.
    before: Any = {"count": -jnp.ones((), jnp.int32)}
    state: Any = mutable(_COUNTS[role], before)
    now = state["count"]
    state["count"] = now + 1
    return jnp.maximum(now, 0)


def is_replayed() -> bool:
    """Whether the model runs against a guide's trace, as inside an ELBO."""
    return any(isinstance(handler, replay) for handler in _PYRO_STACK)


def _affine(op: AbstractLinearOp, x: Array, weight: Array, bias: Array | None) -> Array:
    out = op(x, weight)
    return out if bias is None else out + line_up(bias, 1, op.rank)


class _Nameless(dict[str, Any]):
    """A message with ``msg["name"]``, but ``"name" in msg`` is false, as for `trace`."""

    def __missing__(self, key: str) -> str:
        if key == "name":
            return f"{self['weight'].name if 'weight' in self else ''}${self['type']}"
        raise KeyError(key)


def message(kind: str, fn: Callable[..., Any], args: tuple[Any, ...], **keys: Any) -> Any:
    """Send a message that traces do not record, and return its final value."""
    parts = {"fn": fn, "args": args, "kwargs": {}, "value": None, "cond_indep_stack": []}
    return apply_stack(_Nameless(type=kind, **parts, **keys))["value"]


def linear(
    x: Array,
    weight: Site | Array,
    bias: Site | Array | None = None,
    *,
    op: AbstractLinearOp = Dense(),
) -> Array:
    """Apply a weight to rows, such that gradient estimators can replace the operation.

    Without handlers this is ``op(x, weight) + bias``. If a weight is used as drawn, pass its
    `Site` and not its value: handlers use it to find the guide's distribution.

    Args:
        x: Rows, (..., n, in) for a dense product.
        weight: A `Site` or an array, (*plates, in, out).
        bias: A `Site` or an array, (*plates, out).
        op: The operation; the default is a dense product.

    Example:
        >>> import jax.numpy as jnp
        >>> linear(jnp.ones((5, 3)), jnp.ones((3, 2)), jnp.ones(2)).shape
        (5, 2)
    """
    weight = weight if isinstance(weight, Site) else Site(weight)
    bias = bias if isinstance(bias, Site) or bias is None else Site(bias)
    args = (x, weight.value, None if bias is None else bias.value)
    if not _PYRO_STACK:
        return _affine(op, *args)
    op = message("operation", lambda op: op, (op,))  # how products are computed
    return message("linear", partial(_affine, op), args, op=op, weight=weight, bias=bias)


def opaque(weight: Site, reason: str) -> None:
    """Tell gradient estimators that `weight` is used where they cannot be applied.

    Their warning names it, with the reason, along with weights whose guide they cannot use.
    """
    if _PYRO_STACK:
        message("opaque", lambda: None, (), weight=weight, reason=reason)


def when_known(
    x: Array, check: Callable[[np.ndarray, str], None], *, is_fitted: bool = False
) -> None:
    """Run ``check(values, of)`` on the values of `x` as soon as they are known.

    If `x` is a concrete array, the check runs immediately. In a traced program there are no
    values; values that depend only on the data are then computed and checked before compilation
    by every function that receives data (`infer.fit`, `infer.EnsembleSVI.run`, predictions).
    The compiled program has no extra cost.

    Args:
        x: Data, or values computed from data.
        check: Function that raises or warns; `of` is empty or names the layer,
            ``" of the layer 'f'"``.
        is_fitted: Whether the check applies only to fitted values, and not to prior draws:
            `infer.fit` runs it at its end.
    """
    names = [handler.prefix for handler in _PYRO_STACK if isinstance(handler, scope)]
    of = f" of the layer {reduce(join, names)!r}" if names else ""
    look = lambda values: check(values, of)
    if not (is_fitted or isinstance(x, jax.core.Tracer)):
        look(np.asarray(x))
    elif _PYRO_STACK:
        keys = {"check": look, "is_fitted": is_fitted, "weight": Site(x)}
        message("when_known", lambda _: None, (x,), **keys)
