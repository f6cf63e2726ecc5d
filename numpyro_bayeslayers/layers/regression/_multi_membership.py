"""Effects of several categories at once."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Integer, Num

from ... import _checks
from ..._base import on_rows
from ...primitives import linear, when_known
from ._call import checked_categories, named
from ._coefficient import AbstractAdaptiveLayer, as_drawn
from ._op import Categories


class MultiMembershipLayer(AbstractAdaptiveLayer):
    r"""Rows that belong to several categories: weighted sums of varying intercepts.

    $$y_{nu} = \sum_m w_{nm}\, \theta_{g_{nm} u}, \qquad \lambda_u \sim \text{scale\_dist}, \quad
    \theta_{cu} \sim \text{coef\_dist}(\text{scale} = \lambda_u)$$

    for example, pupils who changed schools, papers with several authors or games of two teams.
    Call it as ``layer(name, members, weights, num_categories, units=1)`` with integers
    `members` and numbers `weights` of shape (n, m), which are not normalized (rows usually sum
    to one); the output has shape (n, units). For a row with fewer members, give weight zero to
    any category as filler.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are all other arguments.

    Sites:
        ``scale`` (u,); ``theta`` (c, u), deterministic with its ``theta_base`` unless
        `centered`.

    Raises:
        ValueError: As `AdaptiveLayer`; if a category is outside 0 to `num_categories` - 1
            (under `jit`, the compiled program raises); if a weight is negative or not finite;
            if `members` and `weights` differ in shape.
        TypeError: If `members` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> schools = jnp.array([[0, 0], [0, 2], [1, 2]])
        >>> years = jnp.array([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]])
        >>> seed(MultiMembershipLayer(), 0)("school", schools, years, 3).shape
        (3, 1)

    References:
        Browne, Goldstein, Rasbash (2001), "Multiple membership multiple classification (MMMC)
        models", Statistical Modelling 1, section 2.
    """

    @named
    def __call__(
        self,
        name: str,
        members: Integer[ArrayLike, "..."],
        weights: Num[ArrayLike, "..."],
        num_categories: int,
        units: int = 1,
    ) -> Float[Array, "*batch n u"]:
        index = checked_categories(members, num_categories, "members")
        weight = _checks.array("weights", weights)
        if index.ndim < 2 or weight.ndim < 2 or weight.shape[-2:] != index.shape[-2:]:
            raise ValueError(
                "`members` and `weights` must have one shape, (n, m), one column for each of a "
                f"row's members, got {index.shape} and {weight.shape}."
            )
        when_known(weight, _check_weights)
        weight = weight.astype(jnp.result_type(float, weight.dtype))
        count = index.shape[-1]

        def rows(index: Array, weight: Array) -> Array:
            scale = self._scale((units,), rank=2)
            theta = self._coefficients("theta", (num_categories, units), scale)
            flat = index.reshape((*index.shape[:-2], -1))
            # A member may occur twice in one row, which must share one draw.
            found = linear(flat, as_drawn(theta), op=Categories())
            found = found.reshape((*found.shape[:-2], *index.shape[-2:], units))
            return jnp.sum(weight[..., None] * found, axis=-2)

        if index.ndim == weight.ndim == 2:
            return rows(index, weight)
        batch = jnp.broadcast_shapes(index.shape, weight.shape)
        both = jnp.broadcast_to(index, batch), jnp.broadcast_to(weight, batch)
        joined = jnp.concatenate([both[0].astype(weight.dtype), both[1]], -1)
        apart = lambda r: rows(r[..., :count].astype(index.dtype), r[..., count:])
        return on_rows(apart, joined, 2 * count)


def _check_weights(weights: np.ndarray, of: str) -> None:
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][-2])
        raise ValueError(
            f"`weights`{of} must be zero or positive and finite, got "
            f"{weights[wrong].ravel()[0]:g}, first in row {row}."
        )
