"""The one contract that every layer keeps."""

import abc
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
from jaxtyping import Array, ArrayLike, Num

from . import _checks, primitives
from ._promotion import promoting

if TYPE_CHECKING:
    # Type checkers would take Equinox's own for a field, and an argument of constructors.
    from typing import ClassVar as AbstractVar
else:
    from equinox import AbstractVar


def snake_case(name: str) -> str:
    """The default prefix of a class's sites.

    Example:
        >>> snake_case("DenseNCP"), snake_case("MCDropout"), snake_case("NCPNormalOutput")
        ('dense_ncp', 'mc_dropout', 'ncp_normal_output')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower()


class AbstractLayer(eqx.Module):
    """A function whose parameters are NumPyro sites.

    Subclasses declare their fields, `name: str | None` among them (static, the last one),
    and implement `_forward`. Sites that `_forward` opens appear in the trace as
    ``"{name}.{site}"``; without a name the prefix is the class's name in snake case. A layer
    is a value: calling it changes nothing in it.
    """

    name: AbstractVar[str | None]

    @abc.abstractmethod
    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        """Draw this layer's sites and apply them."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer inside a NumPyro model; its sites carry its name as a prefix."""
        with promoting(), primitives.scope(prefix=self.prefix):
            return self._forward(*args, **kwargs)

    @property
    def prefix(self) -> str:
        """What stands before the dot in the names of this layer's sites."""
        return self.name or snake_case(type(self).__name__)


def call_child(field: str, child: Callable[..., Any], *args: Any) -> Any:
    """Call a layer that another one holds: named by its field, unless it has a name.

    What is not a layer is called as it is.
    """
    if not isinstance(child, AbstractLayer):
        return child(*args)
    with primitives.scope(prefix=child.name or field):
        return child._forward(*args)


class AbstractRowLayer(AbstractLayer):
    """A layer that maps each row of its input by itself, (*batch, in) to (*batch, out).

    Subclasses have a field `in_features`, the size of the last axis, which is checked, and
    implement `_rows` for inputs of shape (*plates, n, in), where `*plates` is empty or
    broadcasts against the plates in which the layer is called; the sites' values lined up
    with rank 2 then broadcast by NumPy's rules. Inputs with any number of axes are folded to
    that form and the output is unfolded again.

    Under plates, the leading axes of an input that match the plates' sizes are the plates
    (a hidden layer's activations); any other axes are rows that all plates share.
    """

    in_features: AbstractVar[int]

    if TYPE_CHECKING:  # at run time it is the one of all layers

        def __call__(self, x: Num[ArrayLike, "*batch d_in"]) -> Num[Array, "*rest d_out"]:
            """Run the layer inside a NumPyro model."""
            ...

    @abc.abstractmethod
    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Num[Array, "*rest n d_out"]:
        """Draw this layer's sites and apply them to rows."""

    def _forward(self, x: Num[ArrayLike, "*batch d_in"]) -> Num[Array, "*rest d_out"]:
        return on_rows(self._rows, x, self.in_features)


def on_rows(
    forward: Callable[[Array], Array],
    x: ArrayLike,
    in_features: int,
    size_name: str = "in_features",
) -> Array:
    """Apply `forward`, a function of (*plates, n, in), to `x` of shape (*batch, in)."""
    x = _checks.array("x", x)
    _checks.last_axis("x", x, size_name, in_features)
    lead, rows = split_plates(x.shape[:-1], primitives.plate_shape())
    out = forward(x.reshape(lead + (math.prod(rows), x.shape[-1])))
    return out.reshape(out.shape[:-2] + rows + out.shape[-1:])


def split_plates(
    axes: tuple[int, ...], plates: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split the axes left of the features into those that are plates and those of rows."""
    left_aligned = axes[: len(plates)]
    if len(axes) > len(plates) and _are_plates(left_aligned, plates):
        return left_aligned, axes[len(plates) :]
    # Activations from fewer plates than are open now: NumPyro counts plates from the right.
    fewer = axes[:-1]
    if 0 < len(fewer) < len(plates) and _are_plates(fewer, plates[-len(fewer) :]):
        return fewer, axes[-1:]
    return (), axes


def _are_plates(axes: tuple[int, ...], plates: tuple[int, ...]) -> bool:
    fits = all(a in (1, p) for a, p in zip(axes, plates, strict=True))
    return fits and any(a == p for a, p in zip(axes, plates, strict=True))
