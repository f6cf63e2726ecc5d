"""What all links share: rows line up, or it is an error; a plate of rows subsamples both."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike

from ... import _checks, primitives
from ..._base import split_plates

Plate: TypeAlias = numpyro.plate | None


def observe(
    name: str,
    law: Callable[..., dist.Distribution],
    y: ArrayLike | None,
    plate: Plate,
    **predictors: ArrayLike,
) -> Array:
    """Sample the site `name` from ``law(**predictors)``, one observation for each row.

    Args:
        name: The site's name.
        law: The likelihood, given the aligned predictors.
        y: The observations, or None to draw them.
        plate: A plate of the rows, entered here; what it draws is taken from all arrays.
        predictors: Arrays (n,), (n, 1), or (n, u) for several outputs, by argument.
    """
    check_name(name)
    arrays = {key: jnp.asarray(x) for key, x in predictors.items()}
    if y is not None:
        arrays["y"] = jnp.asarray(y)
    plates = primitives.plate_shape()
    arrays = align(arrays, plates)
    if plate is None:
        y = arrays.pop("y", None)
        fn = law(**arrays)
        # Inside a plate on the left, the rows of one cell are one event.
        rows = len(fn.batch_shape) - len(plates)
        out: Any = numpyro.sample(name, fn.to_event(rows) if plates else fn, obs=y)
        return out
    _checks.instance("plate", plate, numpyro.plate, "a numpyro.plate of the rows")
    if plates:
        raise ValueError(
            "A link with a `plate` of rows cannot stand inside of another plate. Leave "
            "`plate` out: the rows of each cell then are one event."
        )
    with plate as chosen:
        arrays = {key: _of_rows(key, x, chosen, plate) for key, x in arrays.items()}
        y = arrays.pop("y", None)
        drawn: Any = numpyro.sample(name, law(**arrays), obs=y)
    return drawn


def check_name(name: str) -> None:
    """`name` is a string that is not empty."""
    if not isinstance(name, str) or not name:
        raise TypeError(
            f"`name` must be a string that is not empty, got {name!r}. A link is called as "
            "`gaussian_link(mu, y, name='price')`."
        )


def align(arrays: dict[str, Array], plates: tuple[int, ...]) -> dict[str, Array]:
    """The arrays with (n, 1) as (n,), so that rows meet rows, inside of plates on the left.

    Raises:
        ValueError: If the predictors would broadcast the observations `y` to another shape.
    """
    given = {name: x.shape for name, x in arrays.items()}
    own = {name: split_plates(x.shape, plates)[1] for name, x in arrays.items()}
    for name, shape in own.items():
        if len(shape) > 2:
            raise ValueError(
                f"`{name}` must be (n,), (n, 1) or (n, outputs), got shape {given[name]}."
            )
    if all(len(shape) < 2 or shape[-1] == 1 for shape in own.values()):
        arrays = {k: x[..., 0] if len(own[k]) == 2 else x for k, x in arrays.items()}
        own = {name: shape[:1] for name, shape in own.items()}
    if "y" not in arrays:
        return arrays
    for name, shape in own.items():
        rows_meet_outputs = len(shape) == 1 and len(own["y"]) == 2 and shape != (1,)
        if rows_meet_outputs or _broadcast(shape, own["y"]) != own["y"]:
            raise ValueError(
                f"`{name}` of shape {given[name]} and `y` of shape {given['y']} do not line "
                f"up: broadcast, they would have shape {_broadcast(shape, own['y'])} instead "
                "of one observation for each row. Give both one row count; one output is "
                "(n,) or (n, 1), several are (n, outputs) in both."
            )
    return arrays


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return jnp.broadcast_shapes(a, b)
    except ValueError:
        return None


def _of_rows(name: str, x: Array, rows: Array, plate: numpyro.plate) -> Array:
    """The plate's rows of `x`; what the model subsampled itself is left as it is."""
    if x.ndim == 0 or x.shape[-1] in (1, len(rows)):
        return x
    if x.ndim > 1 or len(x) != plate.size:
        raise ValueError(
            f"`{name}` has shape {x.shape}, but `plate` has {plate.size} rows, of which it "
            f"draws {len(rows)}. Give one output, for all rows or for those that are drawn."
        )
    return x[rows]
