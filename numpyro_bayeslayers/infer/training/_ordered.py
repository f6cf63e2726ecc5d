"""NumPyro's objectives, with the same order of summation in every process.

`Trace_ELBO` sums its terms in the order of a Python set of site names, and `TraceGraph_ELBO`
sums the plates of a term in the order of a set of plates. Since Python's hashes of strings
differ between processes, so would the order of operations: rounding would differ, and JAX's
persistent compilation cache would not be used. Here the order is that of the model.
"""

import types
from typing import Any

from numpyro.infer import Trace_ELBO, TraceGraph_ELBO
from numpyro.infer.elbo import ELBO, MultiFrameTensor


class _Names(dict):
    """Names in insertion order; replaces `set` where the sum is built."""

    def __init__(self, names: Any = ()) -> None:
        super().__init__(dict.fromkeys(names))

    def union(self, names: Any) -> "_Names":
        return _Names([*self, *names])


class _Frames(MultiFrameTensor):
    """Sums over plates from the left axis to the right."""

    def sum_to(self, target_frames: Any) -> Any:
        in_order = MultiFrameTensor()
        for frames, value in self.items():
            by_axis = tuple(sorted(frames, key=lambda frame: frame.dim))
            dict.__setitem__(in_order, by_axis, value)
        return in_order.sum_to(target_frames)


def _bound(fn: types.FunctionType, **names: Any) -> types.FunctionType:
    """`fn` with some global names replaced; its module is not modified."""
    twin = types.FunctionType(
        fn.__code__,
        {**fn.__globals__, **names},
        fn.__name__,
        fn.__defaults__,
        fn.__closure__,
    )
    twin.__kwdefaults__ = fn.__kwdefaults__
    return twin


def _twin(kind: type[ELBO], method: str, **names: Any) -> type[ELBO]:
    """A class like `kind`, with the same name, whose method uses other global names."""
    return type(kind.__name__, (kind,), {method: _bound(getattr(kind, method), **names)})


_TWINS: dict[type[ELBO], type[ELBO]] = {
    Trace_ELBO: _twin(Trace_ELBO, "loss_with_mutable_state", set=_Names),
    TraceGraph_ELBO: _twin(TraceGraph_ELBO, "loss", MultiFrameTensor=_Frames),
}


def ordered(loss: ELBO) -> ELBO:
    """The same objective with process-independent sums; other objectives are not changed."""
    twin = _TWINS.get(type(loss))
    if twin is None:
        return loss
    found = twin.__new__(twin)
    vars(found).update(vars(loss))
    return found
