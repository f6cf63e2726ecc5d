"""Base of the gradient estimators of linear operations."""

import abc
import sys
import warnings
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, TracebackType
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array
from numpyro.infer import RenyiELBO
from numpyro.primitives import Messenger

from .. import primitives
from .._typing import Message

_IMPORTANCE_WEIGHTED = (
    "`{handler}` cannot be used with RenyiELBO and several particles: the noise is drawn per "
    "row, so the particles have no separate weights, and the objective would be biased above "
    "the evidence. Use Trace_ELBO or TraceMeanField_ELBO, or the plain model."
)

_NO_NORMAL = "the guide is not a factorized normal there (use AutoNormal)"
_BOTH = (
    "The weight {name!r} is used twice, and one use is out of the gradient estimator's reach: "
    "{reason}. The two would see different draws. Remove the handler, or give the uses their "
    "own weights."
)


class AbstractGradientEstimator(Messenger, abc.ABC):
    """Replaces the value of linear messages whose weight has a factorized normal guide.

    Other messages keep the plain value: under NUTS, `Predictive` and `substitute` (no guide),
    with delta guides, and with guides that correlate the weights. Inside an ELBO, each handler
    object warns once about skipped weights.

    No state outlives a run: subclasses store state between two messages in `_memory`, by the
    name of the weight.
    """

    # Whether the same noise can be used in all places where a row uses one weight.
    _can_share: bool = False

    def __init__(self, fn: Callable[..., Any] | None = None) -> None:
        self._memory: dict[str, Any] = {}
        self._left_out: dict[str, str] = {}
        self._acted: set[str] = set()
        self._seen = False
        self._told = False
        super().__init__(fn)

    def __enter__(self) -> None:
        self._forget()
        return super().__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None and primitives.is_replayed():
            self._tell()
        self._forget()
        return super().__exit__(exc_type, exc_value, traceback)

    def _forget(self) -> None:
        self._memory = {}
        self._left_out = {}
        self._acted = set()
        self._seen = False

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "opaque":
            self._leave(msg["weight"].name, msg["reason"])
        if msg["type"] != "linear":
            return
        self._seen = True
        if msg["value"] is not None:
            return  # an inner gradient estimator has handled it
        name = msg["weight"].name
        moments = normal_moments(msg["weight"])
        if moments is None:
            self._leave(name or "a weight that is not a site", _NO_NORMAL)
            return
        if msg["op"].is_shared and not self._can_share:
            self._leave(name, "a row uses it in several places, which must share one draw")
            return
        if _is_importance_weighted():
            raise ValueError(_IMPORTANCE_WEIGHTED.format(handler=type(self).__name__))
        self._acted.add(name)
        self._refuse_both(name)
        msg["value"] = self._estimate(msg, *moments)

    @abc.abstractmethod
    def _estimate(self, msg: Message, loc: Array, scale: Array) -> Array:
        """The value of the linear message, given the guide's moments of its weight."""

    def _leave(self, name: str, reason: str) -> None:
        self._left_out.setdefault(name, reason)
        self._refuse_both(name)

    def _refuse_both(self, name: str) -> None:
        if name in self._acted and name in self._left_out:
            raise ValueError(_BOTH.format(name=name, reason=self._left_out[name]))

    def _tell(self) -> None:
        if self._told or (self._seen and not self._left_out):
            return
        self._told = True
        name = type(self).__name__
        if self._left_out:
            sites = "; ".join(self._by_reason())
            warnings.warn(
                f"`{name}` left out {sites}. The plain value is used there. Change that, or "
                "remove the handler.",
                stacklevel=4,
            )
        else:
            warnings.warn(
                f"`{name}` found no linear operation to estimate. Layers inside the body "
                "of `scan` or `cond` are hidden from it: apply it to the body. Models "
                "without layers need no gradient estimator.",
                stacklevel=4,
            )

    def _by_reason(self) -> Iterator[str]:
        for reason in dict.fromkeys(self._left_out.values()):
            names = sorted(name for name, why in self._left_out.items() if why == reason)
            yield f"{', '.join(names)}: {reason}"


def normal_moments(site: primitives.Site) -> tuple[Array, Array] | None:
    """Mean and standard deviation of the guide's factorized normal, in the shape of the value."""
    guide = primitives.factorized_normal(primitives.posterior_of(site))
    if guide is None:
        return None
    shape = jnp.shape(site.value)
    return jnp.broadcast_to(guide.loc, shape), jnp.broadcast_to(guide.scale, shape)


def _is_importance_weighted() -> bool:
    """Whether the call stack contains the evaluation of an importance-weighted objective.

    No message says which objective runs the model; the stack is read once for each linear
    operation, when the model is traced. Variables are read only in frames of the objective's
    methods: Python keeps variables that were read for as long as the frame lives, and those of
    JAX's frames include tracers.
    """
    codes = set(_codes(RenyiELBO))
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code in codes:
            owner = frame.f_locals.get("self")
            if isinstance(owner, RenyiELBO) and owner.num_particles > 1:
                return True
        frame = frame.f_back
    return False


def _codes(kind: type) -> Iterator[CodeType]:
    """The code of all methods that an object of this class, or of a subclass, may have."""
    for base in kind.__mro__:
        yield from (f.__code__ for f in vars(base).values() if isinstance(f, FunctionType))
    for more in kind.__subclasses__():
        yield from _codes(more)
