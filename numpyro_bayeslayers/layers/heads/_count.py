"""Links of counts."""

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ...primitives import sample, scope
from ._observation import Plate, check_name, observe


def poisson_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
) -> Array:
    r"""Counts around the exponential of a prediction.

    $$y_i \sim \text{Poisson}(e^{\hat y_i})$$

    Args:
        y_hat: Predictions of the log rate, (n,), (n, 1), or (n, u) for several outputs.
        y: Counts of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}``, observed.

    Raises:
        ValueError: If predictions and observations do not line up row by row.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(poisson_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        McCullagh and Nelder (1989), "Generalized linear models", chapter 6.
    """
    law = lambda y_hat: dist.Poisson(jnp.exp(y_hat))
    return observe(name, law, y, plate, y_hat=y_hat)


def negative_binomial_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    rate: float = 1.0,
    *,
    plate: Plate = None,
) -> Array:
    r"""Counts with more variance than Poisson's around the exponential of a prediction.

    $$y_i \sim \text{NB}\big(\mu_i = e^{\hat y_i},\ \kappa\big), \qquad
    \text{var} = \mu_i + \mu_i^2 / \kappa, \qquad \kappa \sim \text{Exponential}(rate)$$

    Args:
        y_hat: Predictions of the log mean, (n,), (n, 1), or (n, u) for several outputs.
        y: Counts of the same rows, or None to draw them.
        name: Name of the observed site.
        rate: Rate of the concentration's exponential prior, positive.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}.concentration`` of event shape (); ``{name}``, observed.

    Raises:
        ValueError: If predictions and observations do not line up row by row, or if `rate`
            is not positive.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(negative_binomial_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Hilbe (2011), "Negative binomial regression", section 8.2 (NB2).
    """
    check_name(name)
    _checks.positive("rate", rate)
    with scope(prefix=name):
        kappa = sample("concentration", dist.Exponential(rate), rank=1)
    law = lambda y_hat, kappa: dist.NegativeBinomial2(jnp.exp(y_hat), kappa)
    return observe(name, law, y, plate, y_hat=y_hat, kappa=kappa)


def zip_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
) -> Array:
    r"""Counts with more zeros than Poisson's.

    $$y_i \sim \pi\,\delta_0 + (1 - \pi)\,\text{Poisson}(e^{\hat y_i}), \qquad
    \pi \sim \text{Beta}(1, 10)$$

    Args:
        y_hat: Predictions of the log rate of what is no extra zero, (n,) or (n, 1).
        y: Counts of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}.gate`` of event shape (); ``{name}``, observed.

    Raises:
        ValueError: If predictions and observations do not line up row by row.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(zip_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Lambert (1992), "Zero-inflated Poisson regression", Technometrics 34.
    """
    check_name(name)
    with scope(prefix=name):
        gate = sample("gate", dist.Beta(1.0, 10.0), rank=1)
    law = lambda y_hat, gate: dist.ZeroInflatedPoisson(gate, rate=jnp.exp(y_hat))
    return observe(name, law, y, plate, y_hat=y_hat, gate=gate)
