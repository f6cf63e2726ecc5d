"""The only door to NumPyro's effect stack.

A layer draws its parameters with `sample` (or `sample_site`, `param`) and applies them with
`linear`, inside a `scope` that prefixes their names with the layer's. Both send messages
that handlers may answer, so what a layer does can be changed from outside: NumPyro's
handlers see ordinary sites, and the gradient estimators of `numpyro_bayeslayers.handlers`
see one ``"linear"`` message for each product.

A ``"linear"`` message has the keys that every message has (``type``, ``fn``, ``args``,
``kwargs``, ``value``, ``cond_indep_stack``) and three more: ``op``, the `AbstractLinearOp`;
``weight`` and ``bias``, the `Site` each operand came from. ``fn(x, weight, bias)`` takes the
operands in their natural shapes, so a handler that wants the map at other weights (the
posterior's mean, say) calls it with those.

The message is left out of traces, like NumPyro's own ``control_flow``, and nevertheless
answers ``site["name"]`` (``"hidden.weight$linear"``), so that predicates written for sample
sites keep working.
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

# Where a handler that moves sites across a boundary (the ensemble) leaves the guide's
# distribution, since the value that `replay` gave does not survive the crossing.
POSTERIOR = "_bayeslayers_posterior"
# Marks a value that `tie` gave back to a second call.
TIED = "_bayeslayers_tied"
# Marks an observed factor that is a term of the divergence between guide and prior.
DIVERGENCE = "_bayeslayers_divergence"


class _Capture(Messenger):
    """Innermost handler: its `postprocess_message` runs last and sees the final message."""

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
    """Refuse a second draw of one name within one run of a seeded model.

    `trace` refuses it for sample sites only. `seed(model)` makes a fresh handler for each
    call, so what is noted on that handler lasts as long as the run. A trace inside it is
    of a run of its own: without `jit` an autoguide makes several to find where to start.
    """
    for handler in reversed(_PYRO_STACK):
        if isinstance(handler, trace) or (isinstance(handler, seed) and handler.stateful):
            # `trace` begins with a new record each time that it is entered.
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
        # NumPyro asserts what it says no more of than these two.
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
    # A user's `substitute` may give a number; an array stays the very object that it is.
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
        ValueError: If the model has a site of this name already, or if what weighs or masks
            the site outside does not line up with the observations.
    """
    return _send(name, lambda: numpyro.sample(name, fn, obs=y))["value"]


def _tied(msg: Message) -> dict[str, Any]:
    return {TIED: True} if msg.get(TIED) else {}


def sample(name: str, fn: dist.Distribution, rank: int = 0) -> Array:
    """Draw the site `name` from `fn`, lined up with values of event rank `rank`.

    The site has its natural event shape in the trace. The value that comes back has
    singleton axes between the plates on its left and its event, so that it broadcasts
    against the output of `linear`, which has rank 2 (rows and features).

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
        init: Initial values from a key and a shape, plates included.
        shape: The event's shape.
        kwargs: Passed to `numpyro.param` (``constraint=``, for one).

    Raises:
        ValueError: If no handler can give a key, or if the name is taken.
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
    """Subtract `value` (nats) from the log density: a divergence known in closed form.

    It is a `numpyro.factor` that handlers can tell from a likelihood: `temper` scales it
    with the other latent terms.
    """
    empty = jnp.empty(jnp.shape(value) + (0,))
    infer = {DIVERGENCE: True}
    _send(name, lambda: numpyro.sample(name, dist.Unit(-value), obs=empty, infer=infer))


def prng_key(what: str) -> PRNGKey:
    """A fresh key from the enclosing `seed`; `what` needs it and is named if there is none."""
    key = numpyro.prng_key() if _PYRO_STACK else None
    if key is None:
        raise ValueError(_NO_KEY.format(what=what))
    return key


def plate_shape(*, subsampled: bool = True) -> tuple[int, ...]:
    """Sizes of the plates that a site would be in here, leftmost first.

    A plate counts as many cells as its subsample has, or, with ``subsampled=False``, all.
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
    """The guide's distribution of `site`, or None if its value came from elsewhere.

    In every ELBO the model runs under `numpyro.handlers.replay`, whose trace holds the
    guide's site with the very value that the model was given: that object is looked for,
    so scopes inside or outside `replay` do not matter. Under NUTS, `Predictive` and
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
        index: The categories of rows, the new ones numbered after the others.
        count: How many are new.
        law: ``"draw"`` for a draw from the population, ``"mean"`` for its mean.
    """

    index: Array
    count: int
    law: str


def categories(index: Array, num_categories: int) -> NewGroups | None:
    """Say that rows look up `num_categories` categories by the integers `index`.

    Nothing happens, unless a handler notes the ``"categories"`` message, or answers it with
    the rows' new categories.
    """
    about = index, num_categories
    return message("categories", lambda *_: None, about) if _PYRO_STACK else None


def effect(name: str, value: Array) -> None:
    """Say what the layer `name` adds to rows, for handlers that note ``"effect"``."""
    if _PYRO_STACK:
        message("effect", lambda *_: None, (name, value))


def missing_of(y: np.ndarray) -> Any:
    """Which entries of `y` a handler takes for missing; False, for none, if there is none."""
    return message("missing", lambda _: False, (y,)) if _PYRO_STACK else False


def step() -> Array:
    """How many updates the running optimization has made, from zero.

    A trainer that knows answers the ``"step"`` message. Under a stock `SVI` the count is
    kept in a mutable site, one for the model and one for the guide (the model is the one
    that runs under `replay`), so it lives in the `SVIState`.
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
    """Nameless to `trace` (``"name" in msg`` is false), named to those who ask."""

    def __missing__(self, key: str) -> str:
        if key == "name":
            return f"{self['weight'].name if 'weight' in self else ''}${self['type']}"
        raise KeyError(key)


def message(kind: str, fn: Callable[..., Any], args: tuple[Any, ...], **keys: Any) -> Any:
    """Send a message that no trace shows, and give its final value."""
    parts = {"fn": fn, "args": args, "kwargs": {}, "value": None, "cond_indep_stack": []}
    return apply_stack(_Nameless(type=kind, **parts, **keys))["value"]


def linear(
    x: Array,
    weight: Site | Array,
    bias: Site | Array | None = None,
    *,
    op: AbstractLinearOp = Dense(),
) -> Array:
    """Apply a weight to rows, in a way that gradient estimators can take over.

    Without handlers this is ``op(x, weight) + bias``. Pass the `Site` of a weight, not its
    value, where it is used as it was drawn: handlers find the guide's distribution by it.

    Args:
        x: Rows, (..., n, in) for a dense product.
        weight: A `Site` or an array, (*plates, in, out).
        bias: A `Site` or an array, (*plates, out).
        op: The operation; a dense product by default.

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
    """Tell gradient estimators that `weight` is used where they cannot act.

    They name it, with the reason, beside the weights whose guide they cannot use.
    """
    if _PYRO_STACK:
        message("opaque", lambda: None, (), weight=weight, reason=reason)


def when_known(
    x: Array, check: Callable[[np.ndarray, str], None], *, is_fitted: bool = False
) -> None:
    """Have ``check(values, of)`` look at the values of `x` as soon as they are known.

    Now, if `x` is an array. In a program that is being traced there are no values; what the
    data alone determine is worked out and looked at by all that are given data, before they
    compile (`infer.fit`, `infer.EnsembleSVI.run`, predictions). It costs the program nothing.

    Args:
        x: Data, or what has become of it on the way to the layer.
        check: Raises or warns; `of` is empty or says whose `x` it is, ``" of the layer 'f'"``.
        is_fitted: Whether only the values of a fit are of interest, and not draws of a prior:
            `infer.fit` looks at them at its end.
    """
    names = [handler.prefix for handler in _PYRO_STACK if isinstance(handler, scope)]
    of = f" of the layer {reduce(join, names)!r}" if names else ""
    look = lambda values: check(values, of)
    if not (is_fitted or isinstance(x, jax.core.Tracer)):
        look(np.asarray(x))
    elif _PYRO_STACK:
        keys = {"check": look, "is_fitted": is_fitted, "weight": Site(x)}
        message("when_known", lambda _: None, (x,), **keys)
