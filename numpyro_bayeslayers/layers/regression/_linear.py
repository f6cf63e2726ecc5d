"""Linear terms and intercepts."""

import equinox as eqx
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ...primitives import linear, sample, sample_site
from ._call import Activation, identity, named, on_columns
from ._coefficient import AbstractAdaptiveLayer
from ._prior import STANDARD, Family, Keywords, Prior


class AdaptiveLayer(AbstractAdaptiveLayer):
    r"""Linear terms with a learned scale: ridge, lasso, ..., depending on the prior's family.

    $$y = a(x \beta), \qquad \lambda_u \sim \text{scale\_dist}, \quad
    \beta_{iu} \sim \text{coef\_dist}(\text{scale} = \lambda_u)$$

    Call it as ``layer(name, x, units=1, activation=identity)`` with `x` of shape (n, d), or
    (n,) for one column; the output has shape (n, units).

    Args:
        scale_dist: Prior of the scale, of positive support: a class or a distribution.
        coef_dist: Prior of the coefficients: a class that takes `scale`, or a distribution,
            whose scale is then multiplied by the drawn one.
        coef_kwargs: Keywords of `coef_dist` other than `scale`.
        scale_kwargs: Keywords of `scale_dist`.
        centered: False draws ``beta_base`` and scales it, True draws ``beta`` directly, and a
            number between 0 and 1 interpolates; the distribution of ``beta`` is the same.

    Sites:
        ``scale`` (u,); ``beta`` (d, u), deterministic with its ``beta_base`` (d, u) unless
        `centered`.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range, or `units` is not
            positive.
        TypeError: If a prior is not a distribution.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(AdaptiveLayer(), 0)("price", jnp.ones((5, 3)), units=2).shape
        (5, 2)

    References:
        Gelman, Hill, Vehtari (2020), "Regression and other stories", section 12.7;
        Papaspiliopoulos, Roberts, Sköld (2007), "A general framework for the
        parametrization of hierarchical models", Statistical Science 22, section 2.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array) -> Array:
            scale = self._scale((units,), rank=2)
            return linear(x, self._coefficients("beta", (x.shape[-1], units), scale))

        return activation(on_columns(rows, x))


class AbstractFixedLayer(eqx.Module):
    """Coefficients under a prior without hyperparameters.

    Args:
        coef_dist: Prior of the coefficients: a class, or a distribution.
        coef_kwargs: The keywords of `coef_dist`.
    """

    coef_prior: Prior = eqx.field(static=True)

    def __init__(
        self, coef_dist: Family = dist.Normal, coef_kwargs: Keywords = STANDARD
    ) -> None:
        self.coef_prior = Prior("coef", coef_dist, coef_kwargs, STANDARD, False)


class FixedPriorLayer(AbstractFixedLayer):
    r"""Linear terms under a fixed prior.

    $$y = a(x \beta), \qquad \beta_{iu} \sim \text{coef\_dist}$$

    Call it as ``layer(name, x, units=1, activation=identity)`` with `x` of shape (n, d), or
    (n,) for one column; the output has shape (n, units).

    Args:
        coef_dist: Prior of the coefficients: a class, or a distribution.
        coef_kwargs: Keywords of `coef_dist`.

    Sites:
        ``beta`` (d, u).

    Raises:
        ValueError: If a keyword is unknown, missing or out of range, or `units` is not
            positive.
        TypeError: If the prior is not a distribution.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro.handlers import seed
        >>> layer = FixedPriorLayer(dist.Laplace(0.0, 0.5))
        >>> seed(layer, 0)("price", jnp.ones((5, 3))).shape
        (5, 1)
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array) -> Array:
            prior = self.coef_prior.over((x.shape[-1], units))
            return linear(x, sample_site("beta", prior))

        return activation(on_columns(rows, x))


class InterceptLayer(AbstractFixedLayer):
    r"""An intercept, which broadcasts against rows.

    $$y = a(\beta), \qquad \beta_u \sim \text{coef\_dist}$$

    Call it as ``layer(name, units=1, activation=identity)``.

    Args:
        coef_dist: Prior of the constant: a class, or a distribution.
        coef_kwargs: Keywords of `coef_dist`.

    Sites:
        ``beta`` (1, u), which is the output.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range, or `units` is not
            positive.
        TypeError: If the prior is not a distribution.

    Example:
        >>> from numpyro.handlers import seed
        >>> seed(InterceptLayer(), 0)("base", units=2).shape
        (1, 2)
    """

    @named
    def __call__(
        self, name: str, units: int = 1, activation: Activation = identity
    ) -> Float[Array, "*batch 1 u"]:
        return activation(sample("beta", self.coef_prior.over((1, units)), rank=2))
