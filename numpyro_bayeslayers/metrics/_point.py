"""Errors of point predictions."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from .._typing import Column
from ._rows import as_rows


def root_mean_squared_error(
    y: Num[ArrayLike, "*rows"] | Column, prediction: Num[ArrayLike, "*rows"] | Column
) -> Float[Array, ""]:
    r"""Root mean squared error $\sqrt{\frac{1}{N} \sum_i (y_i - \hat y_i)^2}$, in the unit of `y`.

    Its expectation is smallest if the prediction is the mean.

    Args:
        y: Observations.
        prediction: Predictions, in the shape of `y`.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes differ, there is no entry, or one is masked or NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> float(root_mean_squared_error(jnp.array([1.0, 2.0]), jnp.array([4.0, 6.0])))
        3.5355...
    """
    return jnp.sqrt(jnp.mean(jnp.square(_errors(y, prediction))))


def mean_absolute_error(
    y: Num[ArrayLike, "*rows"] | Column, prediction: Num[ArrayLike, "*rows"] | Column
) -> Float[Array, ""]:
    r"""Mean absolute error $\frac{1}{N} \sum_i |y_i - \hat y_i|$, in the unit of `y`.

    Its expectation is smallest if the prediction is the median.

    Args:
        y: Observations.
        prediction: Predictions, in the shape of `y`.

    Raises:
        TypeError: If an entry is not a real number (dates are not).
        ValueError: If the shapes differ, there is no entry, or one is masked or NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> float(mean_absolute_error(jnp.array([1.0, 2.0]), jnp.array([4.0, 6.0])))
        3.5
    """
    return jnp.mean(jnp.abs(_errors(y, prediction)))


def _errors(y: Any, prediction: Any) -> Array:
    y, prediction = as_rows(y=y, prediction=prediction)
    return y - prediction
