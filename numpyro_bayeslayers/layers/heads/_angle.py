"""The likelihood (link) of angles."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ...distributions._angle import PreciseVonMises
from ...primitives import when_known
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, of_excess_noise, parameter, rows_and_outputs


def von_mises_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    concentration: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Angles around a predicted direction.

    $$y_i \sim \text{von Mises}\big(2 \arctan(\hat y_i + o_i),\ \kappa\big), \qquad
    1 / \sqrt\kappa \sim \text{Exponential}(1)$$

    $1 / \sqrt\kappa$ is the standard deviation in radians where it is small. The prediction is
    the tangent of half the mean direction: the real line covers one turn, with a discontinuity
    at $\pi$, so rotate the angles such that few of them are near $\pi$. Each of several outputs
    has a separate $\kappa$.

    Args:
        y_hat: Predictions, (n,), (n, 1), or (n, u) for several outputs.
        y: Angles of the same rows in radians, from $-2\pi$ to $2\pi$, or None to draw them.
        name: Name of the observed site.
        concentration: Another prior of $\kappa$; or its value, positive: one number, or one for
            each row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's prediction.

    Sites:
        ``{name}.concentration`` of event shape (), or (u,) for several outputs, if it is
        drawn; ``{name}``, observed.

    Returns:
        The observations, or draws from $-\pi$ to $\pi$.

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an
            observation exceeds one turn (give radians, not degrees), a parameter is not positive,
            or a weight is negative.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(von_mises_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Fisher and Lee (1992), "Regression models for an angular response", Biometrics 48,
        equation 2.1.
    """
    check_name(name)
    if y is not None:
        when_known(_checks.array("y", y), _check_radians)
    size = rows_and_outputs(y_hat)
    kappa = parameter(name, "concentration", concentration, of_excess_noise(), size)

    def law(y_hat: Array, concentration: Array) -> PreciseVonMises:
        return PreciseVonMises(2 * jnp.arctan(y_hat), concentration)

    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **rows, y_hat=y_hat, concentration=kappa)


def _check_radians(values: np.ndarray, of: str) -> None:
    """Check that no angle exceeds one turn."""
    bad = np.flatnonzero(np.abs(values) > 2 * np.pi * (1 + 1e-6))
    if bad.size:
        raise ValueError(
            f"`y`{of} must be angles in radians, from -2π to 2π, got {values.ravel()[bad[0]]:g} "
            f"in row {bad[0]} ({bad.size} of {values.size}). Give degrees as np.deg2rad(y)."
        )
