"""Products in half precision, everything else unchanged."""

import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array
from numpyro.primitives import Messenger

from .. import _checks
from .._linear_op import AbstractLinearOp, AbstractLookup
from .._typing import Message

#: Supported types of products.
PRECISIONS = ("bfloat16", "float32")


class mixed_precision(Messenger):  # noqa: N801
    r"""Compute the linear operations of a model in half precision.

    Each product $x W$ of a layer is computed from $x$ and $W$ rounded to `dtype` and returned
    in its original type; gradients pass through the rounding. Parameters, sites, biases, log
    densities and losses keep their type, usually float32. In bfloat16, numbers have eight
    significant bits, a relative rounding error of up to $2^{-8}$. The handler also applies
    within gradient estimators, whether it is placed inside or outside them. Look-ups by index
    are not products.

    On accelerators with hardware for such products, they take a fraction of the time and half
    the memory; on a CPU there is no speedup.

    Args:
        fn: The model. Decorate the model instead of entering the handler around a jitted
            function: the cache of `jax.jit` ignores the handler stack.
        dtype: ``"bfloat16"``, or ``"float32"``, which has no effect in a float32 model.

    Raises:
        ValueError: If `dtype` has another value.

    Warns:
        UserWarning: If the model has no linear operation of a layer; other products are not
            affected.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, substitute
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> layer = DenseReparameterization(1, 1, bias=False, name="f")
        >>> third = substitute(mixed_precision(layer), {"f.weight": jnp.full((1, 1), 1 / 3)})
        >>> float(seed(third, 0)(jnp.ones((1, 1)))[0, 0])
        0.333984375

    References:
        Micikevicius et al. (2018), "Mixed precision training", ICLR, section 3; Kalamkar et al.
        (2019), "A study of BFLOAT16 for deep learning training", section 3.
    """

    def __init__(
        self, fn: Callable[..., Any] | None = None, dtype: str = "bfloat16"
    ) -> None:
        self.dtype = _checks.one_of("dtype", dtype, PRECISIONS)
        self._has_acted = self._has_told = False
        super().__init__(fn)

    def __enter__(self) -> None:
        self._has_acted = False
        return super().__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None and not (self._has_acted or self._has_told):
            self._has_told = True
            warnings.warn(
                "`mixed_precision` found no linear operation of a layer, so all products "
                "are unchanged. Build the model from layers, or `lift` its modules.",
                stacklevel=3,
            )
        return super().__exit__(exc_type, exc_value, traceback)

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "operation":
            return
        self._has_acted = True
        (op,) = msg["args"]
        if msg["value"] is None and not isinstance(op, AbstractLookup):
            msg["value"] = _Rounded(op, self.dtype)


class _Rounded(AbstractLinearOp):
    """An operation on rounded operands."""

    def __init__(self, op: AbstractLinearOp, dtype: str) -> None:
        self._op, self._dtype = op, dtype
        self.rank, self.is_dense, self.is_shared = op.rank, op.is_dense, op.is_shared

    @property
    def exact(self) -> AbstractLinearOp:
        return self._op.exact

    def __call__(self, x: Array, weight: Array) -> Array:
        dtype = jnp.result_type(x, weight)
        out = self._op(x.astype(self._dtype), weight.astype(self._dtype))
        return out.astype(dtype)

    def square(self, x: Array) -> Array:
        return self._op.square(x)

    def flip(self, x: Array, signs: Array) -> Array:
        return self._op.flip(x, signs)

    def signs_in(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._op.signs_in(shape)

    def signs_out(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._op.signs_out(shape)


def in_precision(fn: Callable[..., Any], precision: Any) -> Callable[..., Any]:
    """The model with its products in the given precision."""
    precision = _checks.one_of("precision", precision, PRECISIONS)
    return fn if precision == "float32" else mixed_precision(fn, precision)
