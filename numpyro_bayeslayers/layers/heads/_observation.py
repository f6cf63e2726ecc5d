"""The common part of all likelihoods: alignment, weights and masks of the rows."""

import contextlib
import contextvars
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike
from numpyro.handlers import scale as weighed

from ... import _checks, primitives
from ..._base import split_plates
from ...distributions._support import (
    as_held,
    check_support,
    is_known,
    law_name,
    support_of,
)
from ...distributions._weighted import Weighted

Plate: TypeAlias = numpyro.plate | None
# One value for each row, (n,) or (n, 1), or for each observation; None for the default.
PerRow: TypeAlias = ArrayLike | None

_BOUNDS = ("lower", "upper", "low", "high")
_OF_ROWS = ("offset", "weights", "mask", *_BOUNDS)


class _Alteration(NamedTuple):
    """A change of the distribution of a link, with bounds for its rows."""

    change: Callable[..., dist.Distribution]
    bounds: dict[str, ArrayLike]
    of_data: bool


_ALTERATION: contextvars.ContextVar[_Alteration | None] = contextvars.ContextVar(
    "alteration", default=None
)


@contextlib.contextmanager
def altered(
    change: Callable[..., dist.Distribution],
    bounds: dict[str, ArrayLike],
    *,
    of_data: bool,
) -> Generator[None]:
    """Context in which links observe ``change(law, **bounds)``, with bounds aligned with rows.

    Args:
        change: Returns the distribution that is observed.
        bounds: By name, one number, or one for each row or observation.
        of_data: Whether the bounds apply to observations only, not to draws.

    Raises:
        ValueError: If a link is called inside another such context.
    """
    if _ALTERATION.get() is not None:
        raise ValueError(
            "A link has one pair of bounds: wrap it once, in `censored` or in `truncated`."
        )
    token = _ALTERATION.set(_Alteration(change, bounds, of_data))
    try:
        yield
    finally:
        _ALTERATION.reset(token)


def observe(
    name: str,
    law: Callable[..., dist.Distribution],
    y: ArrayLike | None,
    plate: Plate,
    *,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
    is_joint: bool = False,
    **predictors: ArrayLike,
) -> Array:
    """Sample the site `name` from ``law(**predictors)``, one observation for each row.

    Args:
        name: The site's name.
        law: The likelihood, given the aligned predictors.
        y: The observations, or None to draw them.
        plate: A plate of the rows, entered here; its subsample is taken from all arrays.
        weights: Weight of each row in the log likelihood, at least 0. Not used for draws.
        mask: Whether each row enters the likelihood, Boolean. Not used for draws.
        offset: Known term that is added to the first of the predictors.
        is_joint: Whether the outputs of a row are one event.
        predictors: Arrays (n,), (n, 1), or (n, u) for several outputs, by argument.
    """
    check_name(name)
    arrays = {key: _checks.array(key, x) for key, x in predictors.items()}
    if offset is not None:
        arrays["offset"] = _checks.array("offset", check_offset(offset))
    alteration = _ALTERATION.get()
    if alteration is not None and not (alteration.of_data and y is None):
        arrays |= {key: jnp.asarray(x, float) for key, x in alteration.bounds.items()}
        law = _changed(law, alteration)
    known: dict[str, Any] = {}
    if y is not None:
        known = {"y": y, "weights": check_weights(weights), "mask": check_mask(mask)}
        known = {key: x for key, x in known.items() if x is not None}
        arrays |= {key: _checks.array(key, x) for key, x in known.items()}
    plates = primitives.plate_shape()
    if plates and plate is None:
        _check_no_rows(arrays, plates)
    arrays = align(arrays, plates)
    if is_joint:
        arrays = {key: _of_whole_rows(key, x) for key, x in arrays.items()}
    # Inside JAX's transformations, an array computed from a concrete one is traced.
    known = {key: as_held(x) for key, x in known.items() if is_known(x)}
    known = {key: x.reshape(arrays[key].shape) for key, x in known.items()}
    if plate is None:
        return _sample(name, law, arrays, known, len(plates))
    _checks.instance("plate", plate, numpyro.plate, "a numpyro.plate of the rows")
    if plates:
        raise ValueError(
            "A link with a `plate` of rows cannot be called inside another plate. Omit "
            "`plate`: the rows of each cell are then one event."
        )
    with plate as chosen:
        axis = 0 if is_joint else -1
        arrays = {k: _of_rows(k, x, chosen, plate, axis) for k, x in arrays.items()}
        is_all = plate.subsample_size == plate.size
        return _sample(name, law, arrays, known if is_all else {}, 0)


def _sample(
    name: str,
    law: Callable[..., dist.Distribution],
    arrays: dict[str, Array],
    known: dict[str, Any],
    num_plates: int,
) -> Array:
    """Sample the site, given aligned arrays."""
    y, weights, mask = (arrays.pop(key, None) for key in ("y", "weights", "mask"))
    offset = arrays.pop("offset", None)
    if offset is not None:
        first = next(iter(arrays))
        arrays[first] = arrays[first] + offset
    fn = law(**arrays)
    if len(known) == sum(x is not None for x in (y, weights, mask)) > 0:
        counts = known.get("mask", True) & (known.get("weights", 1) != 0)
        counts = counts & ~np.asarray(primitives.missing_of(known["y"]))
        check_support("y", known["y"], support_of(fn), law_name(fn), name, counts)
    if weights is not None:
        # A row with weight zero contributes nothing, even if its density is infinite.
        has_weight = weights != 0
        mask = has_weight if mask is None else mask & has_weight
        weights = jnp.where(has_weight, weights, 1)
    if mask is not None:
        fn = fn.mask(mask)
    # Inside a plate on the left, the rows of one cell are one event.
    if num_plates:
        fn = fn if weights is None else Weighted(fn, weights)
        return primitives.observe(name, fn.to_event(len(fn.batch_shape) - num_plates), y)
    if weights is None:
        return primitives.observe(name, fn, y)
    with weighed(scale=weights):
        return primitives.observe(name, fn, y)


def _changed(
    law: Callable[..., dist.Distribution], alteration: _Alteration
) -> Callable[..., dist.Distribution]:
    """The changed distribution, as a function of predictors and bounds."""

    def of_both(**arrays: Array) -> dist.Distribution:
        bounds = {name: arrays.pop(name) for name in alteration.bounds}
        return alteration.change(law(**arrays), **bounds)

    return of_both


def check_name(name: str) -> None:
    """Check that `name` is a non-empty string."""
    if not isinstance(name, str) or not name:
        raise TypeError(
            f"`name` must be a string that is not empty, got {name!r}. Call a link as "
            "`gaussian_link(mu, y, name='price')`."
        )


def check_weights(weights: PerRow) -> PerRow:
    """Check that `weights` are finite numbers of at least 0."""
    if weights is None or isinstance(weights, jax.core.Tracer):
        return weights
    values = np.asarray(weights)
    if values.dtype.kind not in "iuf":
        raise TypeError(
            f"`weights` must be numbers, got an array of {values.dtype}. To select rows, use "
            "`mask=`."
        )
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        found = values.ravel()[bad[0]]
        raise ValueError(
            f"`weights` must be finite and at least 0, got {found} in row {bad[0]}."
        )
    return weights


def check_offset(offset: ArrayLike) -> ArrayLike:
    """Check that a concrete `offset` is finite: the logarithm of an exposure of zero is not."""
    if isinstance(offset, jax.core.Tracer):
        return offset
    values = np.asarray(offset)
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return offset
    bad = np.flatnonzero(~np.isfinite(values))
    raise ValueError(
        f"`offset` must be finite, got {values.ravel()[bad[0]]} in row {bad[0]} ({bad.size} such "
        "rows). Drop these rows: nothing can be observed without exposure."
    )


def check_mask(mask: PerRow) -> PerRow:
    """Check that `mask` is Boolean."""
    kind = mask.dtype if isinstance(mask, jax.Array) else np.asarray(mask).dtype
    if mask is None or kind.kind == "b":
        return mask
    raise TypeError(
        f"`mask` must be boolean, True for rows that count, got {kind}. To weight rows, use "
        "`weights=`."
    )


def align(arrays: dict[str, Array], plates: tuple[int, ...]) -> dict[str, Array]:
    """Align arrays row by row: (n, 1) becomes (n,); plate axes stay on the left.

    With several outputs, arrays with one value for each row become (n, 1).

    Raises:
        ValueError: If the arrays would not broadcast to the shape of the observations `y`, or
            of the predictions if there are no observations.
    """
    given = {name: x.shape for name, x in arrays.items()}
    own = {name: split_plates(x.shape, plates)[1] for name, x in arrays.items()}
    for name, x in arrays.items():
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError(
                f"`{name}` must hold real numbers, got {x.dtype}. Take the real part, the "
                "imaginary one or the absolute value."
            )
    for name, shape in own.items():
        if len(shape) > 2:
            raise ValueError(
                f"`{name}` must be (n,), (n, 1) or (n, outputs), got shape {given[name]}."
            )
    columns = [name for name, s in own.items() if len(s) == 2 and s[-1] == 1]
    of_data = [name for name in own if name not in _OF_ROWS]
    if all(len(own[name]) < 2 or name in columns for name in of_data):
        arrays = {k: x[..., 0] if k in columns else x for k, x in arrays.items()}
        own = {k: shape[:1] if k in columns else shape for k, shape in own.items()}
    else:
        wide = [name for name in _OF_ROWS if len(own.get(name, ())) == 1]
        arrays = {k: x[..., None] if k in wide else x for k, x in arrays.items()}
        own = {k: (*shape, 1) if k in wide else shape for k, shape in own.items()}
    first = "y" if "y" in own else next(iter(own))
    target = own[first] if first == "y" else _joint(own)
    for name, shape in own.items():
        rows_meet_outputs = len(shape) == 1 and len(target) == 2 and shape != (1,)
        if rows_meet_outputs or _broadcast(shape, target) != target:
            found = _broadcast(shape, target)
            raise ValueError(
                f"`{name}` of shape {given[name]} and `{first}` of shape {given[first]} do "
                f"not line up: broadcast, they would have shape {found} instead of one "
                "observation for each row. Both need the same number of rows: (n,) or (n, 1) for "
                "one output, (n, outputs) for several."
            )
    predicted = [shape for name, shape in own.items() if name not in ("y", *_OF_ROWS)]
    if len(target) == 2 and target[1] not in [s[1] for s in predicted if len(s) == 2]:
        raise ValueError(
            f"`{first}` has {target[1]} outputs, and the predictions have one. Predict as many: "
            "layers have the argument `units=`."
        )
    return arrays


def _joint(own: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The common shape after broadcasting, or the widest shape if there is none."""
    try:
        return jnp.broadcast_shapes(*own.values())
    except ValueError:
        return max(own.values(), key=lambda shape: (len(shape), shape))


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return jnp.broadcast_shapes(a, b)
    except ValueError:
        return None


def _check_no_rows(arrays: dict[str, Array], plates: tuple[int, ...]) -> None:
    """Check that an enclosing plate is not a plate of the link's own rows."""
    own = {name: split_plates(x.shape, plates)[1] for name, x in arrays.items()}
    free = [own[name] for name, x in arrays.items() if len(own[name]) == x.ndim and x.ndim]
    cells = [own[name] for name, x in arrays.items() if len(own[name]) < x.ndim]
    is_rows = any(shape[0] == plates[-1] > 1 for shape in free)
    if is_rows and cells and all(shape[0] == 1 for shape in cells):
        raise ValueError(
            f"The link is called inside a plate of {plates[-1]}, which is also its number of rows: "
            "each cell of the plate would have a likelihood of all rows. Call it outside and "
            "pass the plate: gaussian_link(mu, y, plate=plate)."
        )


def _of_whole_rows(name: str, x: Array) -> Array:
    """Weights and masks without the axis of outputs, where the outputs of a row are one event."""
    if name not in ("weights", "mask"):
        return x
    if x.shape[-1:] != (1,):
        raise ValueError(
            f"`{name}` must have one value for each row, (n,) or (n, 1), got shape {x.shape}: "
            "here the outputs of a row are one observation."
        )
    return x[..., 0]


def _of_rows(
    name: str, x: Array, rows: Array, plate: numpyro.plate, axis: int = -1
) -> Array:
    """The rows of `x` in the plate; arrays that the model subsampled itself are unchanged."""
    if x.ndim == 0 or x.shape[axis] in (1, len(rows)):
        return x
    if (x.ndim > 1 and axis == -1) or len(x) != plate.size:
        raise ValueError(
            f"`{name}` has shape {x.shape}, but `plate` has {plate.size} rows, of which it "
            f"draws {len(rows)}. Give one output, for all rows or for those that are drawn."
        )
    return x[rows]
