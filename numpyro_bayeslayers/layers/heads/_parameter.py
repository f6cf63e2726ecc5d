"""Parameters of a likelihood: given, or drawn from a prior for each output."""

from numbers import Real
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike
from numpyro.distributions.transforms import PowerTransform

from ... import primitives
from ..._base import split_plates
from ...primitives import sample, scope
from ..regression._prior import spread

# A prior, a number, or an array with one value for each row or output; None for the default.
Parameter: TypeAlias = dist.Distribution | ArrayLike | None


def rows_and_outputs(*predictions: ArrayLike) -> tuple[int, int]:
    """The numbers of rows and of outputs of the predictions, 1 for a missing axis."""
    plates = primitives.plate_shape()
    shapes = [split_plates(jnp.shape(x), plates)[1] for x in predictions]
    rows = max((shape[0] for shape in shapes if shape), default=1)
    return rows, max((shape[-1] for shape in shapes if len(shape) == 2), default=1)


def parameter(
    link: str,
    argument: str,
    given: Parameter,
    default: dist.Distribution | None,
    size: tuple[int, int],
    *,
    site: str | None = None,
    high: float = float("inf"),
) -> Array:
    """A parameter that is aligned with predictions, positive and below `high`.

    Args:
        link: The name of the link.
        argument: The name of the argument, and of the site if `site` is None.
        given: A prior; a number; an array with one value for each row or output.
        default: The prior if `given` is None.
        size: Rows and outputs of the predictions.
        site: The name of the site in the link.
        high: The upper bound of its values.
    """
    given = default if given is None else given
    if isinstance(given, dist.Distribution):
        check_prior(argument, given, high)
        with scope(prefix=link):
            return drawn(site or argument, given, size[1])
    if isinstance(given, bool) or not isinstance(given, (Real, np.ndarray, jax.Array)):
        raise TypeError(
            f"`{argument}` must be a prior (a distribution object of numpyro), a number or "
            f"an array, got {given!r} ({type(given).__name__})."
        )
    if not isinstance(given, jax.core.Tracer):
        values = np.asarray(given)
        if not np.all((values > 0) & (values < high)):
            below = "finite" if high == float("inf") else f"below {high:g}"
            raise ValueError(f"`{argument}` must be positive and {below}, got {given}.")
    return _lined_up(argument, jnp.asarray(given), *size)


def _lined_up(argument: str, value: Array, rows: int, outputs: int) -> Array:
    """Align a value for each row, output or entry with the axes of the predictions."""
    if value.ndim != 1 or outputs == 1 or len(value) not in (rows, outputs):
        return value
    if rows == outputs:
        raise ValueError(
            f"`{argument}` of shape {value.shape} could be one for each row or for each "
            f"output: there are {rows} of both. Use shape ({rows}, 1) for rows, or "
            f"(1, {rows}) for outputs."
        )
    return value[None] if len(value) == outputs else value[:, None]


def drawn(
    site: str, prior: dist.Distribution, outputs: int, tail: tuple[int, ...] = ()
) -> Array:
    """Draw a parameter for each output, aligned with (rows, outputs).

    Args:
        site: Its name.
        prior: The prior of one entry.
        outputs: The number of outputs.
        tail: The shape of the parameter of one output.
    """
    shape = (() if outputs == 1 else (outputs,)) + tail
    fn = spread(prior, shape)
    plates = len(primitives.plate_shape())
    if len(fn.batch_shape) > plates:
        raise ValueError(
            f"The prior of {site!r} has batch shape {prior.batch_shape}, but there is one "
            f"{site} for each of {outputs} outputs. Give a prior of a single number."
        )
    value = sample(site, fn, rank=len(shape) + 1)
    return value[None] if outputs > 1 and value.ndim == len(shape) else value


def check_prior(argument: str, prior: dist.Distribution, high: float) -> None:
    """`prior` is a distribution of single numbers from 0 to `high`."""
    support: Any = prior.support
    is_single = not prior.event_shape and not support.is_discrete
    support = getattr(support, "base_constraint", support)  # that of one entry
    low_end, high_end = (getattr(support, f"{e}_bound", None) for e in ("lower", "upper"))
    traced = any(isinstance(x, jax.core.Tracer) for x in (low_end, high_end))
    is_inside = traced or (low_end is not None and bool(np.all(np.asarray(low_end) >= 0)))
    if is_inside and high != float("inf") and not traced:
        is_inside = high_end is not None and bool(np.all(np.asarray(high_end) <= high))
    if not (is_single and is_inside):
        what = "positive numbers" if high == float("inf") else f"numbers from 0 to {high:g}"
        name = type(prior).__name__
        raise ValueError(
            f"`{argument}` must have a scalar prior of {what}, got {name} with support "
            f"{support} and event shape {prior.event_shape}."
        )


def of_excess_noise() -> dist.Distribution:
    r"""The prior of a precision $\phi$ whose $1 / \sqrt\phi$ is Exponential(1).

    $1 / \sqrt\phi$ is a relative standard deviation. Its prior has the highest density at
    zero, as that of a standard deviation, so that small noise is possible.
    """
    return dist.TransformedDistribution(dist.Exponential(1.0), PowerTransform(-2.0))
