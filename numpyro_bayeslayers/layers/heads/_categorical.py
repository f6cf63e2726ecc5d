"""Links of classes, ordered or not, and of proportions."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ...primitives import sample, scope
from ._observation import Plate, check_name, observe


def logit_link(
    y_hat: Num[ArrayLike, "..."],
    y: ArrayLike | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
) -> Array:
    r"""Two classes by their log odds.

    $$y_i \sim \text{Bernoulli}\big(1 / (1 + e^{-\hat y_i})\big)$$

    Args:
        y_hat: Predictions of the log odds, (n,), (n, 1), or (n, u) for several outputs.
        y: Classes 0 and 1 of the same rows, or None to draw them.
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
        >>> seed(logit_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        McCullagh and Nelder (1989), "Generalized linear models", chapter 4.
    """
    law = lambda y_hat: dist.Bernoulli(logits=y_hat)
    return observe(name, law, y, plate, y_hat=y_hat)


def categorical_link(
    y_hat: Num[ArrayLike, "..."],
    y: ArrayLike | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
) -> Array:
    r"""Classes without order by their unnormalized log probabilities.

    $$P(y_i = k) \propto e^{\hat y_{ik}}$$

    Args:
        y_hat: Predictions, (n, classes).
        y: Classes 0, 1, ... of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}``, observed.

    Raises:
        ValueError: If predictions and observations do not line up row by row, or if there
            are fewer than two classes.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(categorical_link, 0)(jnp.zeros((5, 3))).shape
        (5,)

    References:
        Agresti (2013), "Categorical data analysis", section 8.1.
    """
    shape = jnp.shape(y_hat)
    if len(shape) < 2 or shape[-1] < 2:
        raise ValueError(
            f"`y_hat` must be (n, classes) with two classes or more, got shape {shape}. For "
            "two classes by their log odds, use logit_link."
        )
    logits = jnp.moveaxis(jnp.asarray(y_hat), -1, 0)
    law = lambda **classes: dist.Categorical(logits=jnp.stack([*classes.values()], -1))
    classes = {f"y_hat[:, {k}]": column for k, column in enumerate(logits)}
    return observe(name, law, y, plate, **classes)


def ordinal_link(
    mu: Num[ArrayLike, "..."],
    y: ArrayLike | None = None,
    num_classes: int = 2,
    name: str = "obs",
    *,
    plate: Plate = None,
) -> Array:
    r"""Ordered classes by a prediction and cut-points: the proportional-odds model.

    $$P(y_i \le k) = \frac{1}{1 + e^{-(c_k - \mu_i)}}, \qquad
    c_0 \sim N(0, 2),\quad c_k - c_{k-1} \sim \text{Exponential}(1)$$

    Args:
        mu: Predictions, (n,) or (n, 1); larger ones mean higher classes.
        y: Classes 0, ..., num_classes - 1 of the same rows, or None to draw them.
        num_classes: Number of classes, at least 2.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}.first_cut`` of event shape (); ``{name}.gaps`` of event shape
        (num_classes - 2,), if there are more than two classes; ``{name}``, observed.

    Raises:
        ValueError: If predictions and observations do not line up row by row, or if
            `num_classes` is below 2.
        TypeError: If `name` is no string, or `num_classes` no integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(ordinal_link, 0)(jnp.zeros((5, 1)), num_classes=4).shape
        (5,)

    References:
        McCullagh (1980), "Regression models for ordinal data", JRSS B 42, equation 2.1.
    """
    check_name(name)
    _checks.size("num_classes", num_classes)
    if num_classes < 2:
        raise ValueError(f"`num_classes` must be at least 2, got {num_classes}.")
    with scope(prefix=name):
        cuts = sample("first_cut", dist.Normal(0.0, 2.0), rank=1)
        if num_classes > 2:
            gaps = dist.Exponential(1.0).expand([num_classes - 2]).to_event(1)
            steps = jnp.cumsum(sample("gaps", gaps, rank=2), -1)
            cuts = jnp.concatenate([cuts[..., None], cuts[..., None] + steps], -1)
        else:
            cuts = cuts[..., None]

    def law(mu: Array) -> dist.Distribution:
        return dist.OrderedLogistic(mu, jnp.broadcast_to(cuts, mu.shape + cuts.shape[-1:]))

    return observe(name, law, y, plate, mu=mu)


def beta_link(
    mu: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    plate: Plate = None,
) -> Array:
    r"""Proportions, strictly between 0 and 1, by the log odds of their mean.

    $$y_i \sim \text{Beta}\big(m_i \phi,\ (1 - m_i) \phi\big), \qquad
    m_i = \frac{1}{1 + e^{-\mu_i}},\quad \phi \sim \text{Exponential}(1)$$

    Args:
        mu: Predictions of the mean's log odds, (n,) or (n, 1).
        y: Proportions of the same rows, or None to draw them.
        name: Name of the observed site.
        plate: A plate of the rows, which may subsample; the link enters it.

    Sites:
        ``{name}.precision`` of event shape (); ``{name}``, observed.

    Raises:
        ValueError: If predictions and observations do not line up row by row.
        TypeError: If `name` is no string.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(beta_link, 0)(jnp.zeros((5, 1))).shape
        (5,)

    References:
        Ferrari and Cribari-Neto (2004), "Beta regression for modelling rates and
        proportions", Journal of Applied Statistics 31, equation 4.
    """
    check_name(name)
    with scope(prefix=name):
        precision = sample("precision", dist.Exponential(1.0), rank=1)
    law = lambda mu, precision: dist.BetaProportion(jax.nn.sigmoid(mu), precision)
    return observe(name, law, y, plate, mu=mu, precision=precision)
