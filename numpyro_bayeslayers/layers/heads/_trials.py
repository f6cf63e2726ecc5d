"""Likelihoods (links) of successes among trials, predicted by their log odds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Num

from ...distributions._trials import LogitBinomial, MeanBetaBinomial
from ...primitives import when_known
from ._observation import PerRow, Plate, check_name, observe
from ._parameter import Parameter, of_excess_noise, parameter, rows_and_outputs


def binomial_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    trials: ArrayLike,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Binomial counts: successes of independent trials.

    $$y_i \sim \text{Binomial}\big(N_i,\ 1 / (1 + e^{-(\hat y_i + o_i)})\big)$$

    Args:
        y_hat: Predictions of the log odds, (n,), (n, 1), or (n, u) for several outputs.
        y: Successes of the same rows, from 0 to `trials`, or None to draw them.
        name: Name of the observed site.
        trials: How many trials there were, a whole number: one, or one for each row or
            observation. Predictions need them.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log odds.

    Sites:
        ``{name}``, observed.

    Returns:
        The observations or draws of them, which are whole numbers in floating point.

    Raises:
        ValueError: If the rows of predictions, trials and observations do not match, if an
            observation is not a whole number from 0 to its trials, or a weight is negative.
        TypeError: If `name` is not a string, the trials are not whole numbers, or the mask is not
            boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(binomial_link, 0)(jnp.zeros((5, 1)), trials=jnp.arange(1, 6)).shape
        (5,)

    References:
        McCullagh and Nelder (1989), "Generalized linear models", chapter 4.
    """
    law = lambda y_hat, trials: LogitBinomial(y_hat, trials)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    counts = check_trials(trials)
    return observe(name, law, y, plate, **rows, y_hat=y_hat, trials=counts)


def beta_binomial_link(
    y_hat: Num[ArrayLike, "..."],
    y: Num[ArrayLike, "..."] | None = None,
    name: str = "obs",
    *,
    trials: ArrayLike,
    precision: Parameter = None,
    plate: Plate = None,
    weights: PerRow = None,
    mask: PerRow = None,
    offset: PerRow = None,
) -> Array:
    r"""Beta-binomial counts: overdispersed successes of trials.

    $$y_i \sim \text{Binomial}(N_i, p_i), \qquad
    p_i \sim \text{Beta}\big(m_i \phi,\ (1 - m_i) \phi\big), \qquad
    m_i = \frac{1}{1 + e^{-(\hat y_i + o_i)}},\quad 1 / \sqrt\phi \sim \text{Exponential}(1)$$

    The probabilities $p_i$ are integrated out. Each of several outputs has a separate $\phi$.

    Args:
        y_hat: Predictions of the log odds, (n,), (n, 1), or (n, u) for several outputs.
        y: Successes of the same rows, from 0 to `trials`, or None to draw them.
        name: Name of the observed site.
        trials: How many trials there were, a whole number: one, or one for each row or
            observation. Predictions need them.
        precision: Another prior of $\phi$; or its value, positive: one number, or one for each
            row, output or observation.
        plate: A plate of the rows, which may subsample; the link enters it.
        weights: Weight of each row in the log likelihood, at least 0.
        mask: Whether each row enters the likelihood, Boolean.
        offset: Known term that is added to each row's log odds.

    Sites:
        ``{name}.precision`` of event shape (), or (u,) for several outputs, if it is drawn;
        ``{name}``, observed.

    Returns:
        The observations or draws of them, which are whole numbers in floating point.

    Raises:
        ValueError: As `binomial_link`, and if a precision is not positive.
        TypeError: As `binomial_link`.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(beta_binomial_link, 0)(jnp.zeros((5, 1)), trials=10).shape
        (5,)

    References:
        Williams (1975), "The analysis of binary responses from toxicological experiments
        involving reproduction and teratogenicity", Biometrics 31.
    """
    check_name(name)
    size = rows_and_outputs(y_hat)
    phi = parameter(name, "precision", precision, of_excess_noise(), size)
    law = lambda y_hat, trials, precision: MeanBetaBinomial(y_hat, precision, trials)
    rows: dict[str, Any] = {"weights": weights, "mask": mask, "offset": offset}
    counts = check_trials(trials)
    return observe(name, law, y, plate, **rows, y_hat=y_hat, trials=counts, precision=phi)


def check_trials(trials: ArrayLike) -> Array:
    """Check that `trials` are whole numbers of at least 0; return them in floating point."""
    kind = trials.dtype if isinstance(trials, jax.Array) else np.asarray(trials).dtype
    if kind.kind not in "iuf":
        raise TypeError(f"`trials` must be whole numbers, got an array of {kind}.")
    when_known(jnp.asarray(trials), _check_whole)
    return jnp.asarray(trials, float)


def _check_whole(values: np.ndarray, of: str) -> None:
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0) & (values % 1 == 0)))
    if bad.size:
        found = values.ravel()[bad[0]]
        raise ValueError(
            f"`trials`{of} must be whole numbers of at least 0, got {found} in row {bad[0]}."
        )
