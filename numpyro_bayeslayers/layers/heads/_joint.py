"""Likelihoods (links) of several outputs whose noise is correlated."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ...primitives import sample, scope
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, parameter, rows_and_outputs


def multivariate_normal_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    scale: Parameter = None,
    concentration: float = 1.0,
    *,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Several real observations for each row, with correlated noise.

    $$y_i \sim N\big(\hat y_i + o_i,\ \operatorname{diag}(\sigma) R \operatorname{diag}(\sigma)
    \big), \qquad \sigma_u \sim \text{Exponential}(1),\quad R = L L^\top \sim \text{LKJ}(\eta)$$

    The noise of different rows is independent.

    Args:
        y_hat: Predictions, (n, u) for u outputs, at least two.
        y: Observations of the same rows and outputs, or None to draw them.
        name: Name of the observed site.
        scale: Another prior of each $\sigma_u$; or its value, positive: one number, or one for
            each row, output or observation.
        concentration: Concentration $\eta$ of the LKJ prior, positive: 1 for a uniform prior
            over correlation matrices, above 1 to favor weak correlations.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0: (n,) or (n, 1).
        mask: Whether each row enters the likelihood, Boolean, in the same form.
        offset: Known term that is added to predictions, (n,), (n, 1) or (n, u).

    Sites:
        ``{name}.sigma`` of event shape (u,), unless the scale is known; ``{name}.cholesky``
        (u, u), the factor $L$; deterministic ``{name}.correlation`` (u, u); ``{name}``,
        observed, of event shape (u,).

    Returns:
        The observations or draws of them, (n, u).

    Raises:
        ValueError: If the rows of predictions and observations do not match, if an observation
            is not finite, a scale or `concentration` is not positive, a weight is negative, or if
            there are fewer than two outputs.
        TypeError: If `name` is not a string, or the mask is not boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(multivariate_normal_link, 0)(jnp.zeros((5, 2))).shape
        (5, 2)

    References:
        Lewandowski, Kurowicka, Joe (2009), "Generating random correlation matrices based on
        vines and extended onion method", Journal of Multivariate Analysis 100; Gelman et al.
        (2013), "Bayesian data analysis", section 15.6.
    """
    check_name(name)
    eta = _checks.positive("concentration", concentration)
    rows, outputs = rows_and_outputs(y_hat)
    if outputs < 2:
        raise ValueError(
            f"`y_hat` must be (n, outputs) with two outputs or more, got shape "
            f"{jnp.shape(y_hat)}. For one output use gaussian_link."
        )
    prior = dist.Exponential(1.0)
    sigma = parameter(name, "scale", scale, prior, (rows, outputs), site="sigma")
    with scope(prefix=name):
        root = sample("cholesky", dist.LKJCholesky(outputs, eta), rank=3)
        own = root[..., 0, :, :] if root.ndim > 2 else root
        numpyro.deterministic("correlation", own @ jnp.swapaxes(own, -1, -2))

    def law(y_hat: Array, scale: Array) -> dist.Distribution:
        factor = scale[..., None] * root
        if factor.size == outputs**2:
            factor = factor.reshape(outputs, outputs)  # one for all rows
        # NumPyro broadcasts the factor against the mean, and not the other way round.
        batch = jnp.broadcast_shapes(y_hat.shape[:-1], factor.shape[:-2])
        y_hat = jnp.broadcast_to(y_hat, (*batch, outputs))
        return dist.MultivariateNormal(y_hat, scale_tril=factor)

    spread = jnp.broadcast_to(sigma, jnp.broadcast_shapes(jnp.shape(sigma), (1, outputs)))
    given: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    return observe(name, law, y, plate, **given, is_joint=True, y_hat=y_hat, scale=spread)
