"""Checks of classes and class probabilities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .. import _checks
from ._rows import check_some

# Tolerance for the rounding error of a sum.
_TOLERANCE = 1e-3


def as_probabilities(probs: Any, rank: int = 2, name: str = "probs") -> Array:
    """Check class probabilities along the last axis, which must sum to one.

    Args:
        probs: The given values.
        rank: The required number of axes.
        name: The name of the argument.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the number of axes differs, or entries are not probabilities.
    """
    found = _checks.numbers(name, probs)
    check_some(name, found)
    axes = {2: "one of rows and one of classes", 3: "those of draws, rows and classes"}
    if np.ndim(found) != rank or np.shape(found)[-1] < 2:
        raise ValueError(
            f"`{name}` must have {rank} axes, {axes[rank]}, of at least two classes, got shape "
            f"{np.shape(found)}."
        )
    if not isinstance(found, jax.core.Tracer):
        _checks.no_nan(name, found)
        values = np.asarray(found, np.float64)
        off = np.abs(values.sum(-1) - 1)
        if values.min() < 0 or off.max() > _TOLERANCE:
            what = (
                f"{values.min():g}"
                if values.min() < 0
                else f"a row with a sum of {values.sum(-1).flat[off.argmax()]:g}"
            )
            raise ValueError(
                f"`{name}` must be probabilities that sum to one along the last axis, got "
                f"{what}. Apply `jax.nn.softmax` to logits first."
            )
    return jnp.asarray(found, float)


def rows_of_classes(y: Any, probs: Any) -> tuple[Int[Array, " n"], Float[Array, "n k"]]:
    """Check classes and class probabilities; a single column is that of class 1 of two.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes do not match, entries are not probabilities, or an entry of
            `y` is not a class.
    """
    given = _checks.numbers("probs", probs)
    if np.ndim(given) == 1:
        given = np.asarray(given) if not isinstance(given, jax.Array) else given
        given = (jnp if isinstance(given, jax.Array) else np).stack([1 - given, given], -1)
    found = as_probabilities(given)
    _checks.same_labels(y=y, probs=probs)
    classes = _checks.observed("y", y)
    if np.shape(classes) != found.shape[:1]:
        raise ValueError(
            f"`y` must have one class for each of the {len(found)} rows of `probs`, got shape "
            f"{np.shape(classes)}."
        )
    if not isinstance(classes, jax.core.Tracer):
        _checks.no_nan("y", classes)
        known = np.asarray(classes)
        bad = known[(known < 0) | (known >= found.shape[1]) | (known != np.floor(known))]
        if bad.size:
            raise ValueError(
                f"`y` must hold classes, whole numbers from 0 to {found.shape[1] - 1}, in the "
                f"order of the columns of `probs`, got {bad.flat[0]:g}."
            )
    return jnp.asarray(classes).astype(int), found
