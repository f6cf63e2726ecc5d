"""Links for censored and truncated observations."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike

from ...distributions._bounded import Censored, Truncated
from ...distributions._support import law_name
from ...distributions._tails import has_tails
from ._observation import altered

Link: TypeAlias = Callable[..., Array]


def censored(
    link: Link, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Link:
    r"""Wrap a link for censored observations, which are recorded at a bound if beyond it.

    $$p(y_i) = \begin{cases} P(Y_i \le l_i) & y_i = l_i \\ P(Y_i \ge u_i) & y_i = u_i \\
    p_{\text{link}}(y_i) & \text{otherwise} \end{cases}$$

    For survival times, `upper` is the follow-up time of censored rows, and infinite for rows
    with an observed event. For a tobit regression the bounds are the same for all rows. Draws,
    and thus predictions, are of the uncensored values.

    Args:
        link: `gaussian_link`, `heteroscedastic_link`, `student_t_link` (with `df` a number),
            `lognormal_link`, `gamma_link`, `exponential_link`, `weibull_link` or
            `poisson_link`.
        lower: The lower bound: one number, or one for each row, (n,) or (n, 1), or observation;
            minus infinity where there is none. Not used for draws.
        upper: The upper bound, in the same form; infinity where there is none.

    Returns:
        A link with the arguments and sites of `link`.

    Raises:
        TypeError: If `link` cannot be called.
        ValueError: If a lower bound is not below its upper bound, or is NaN; when the link is
            called, if an observation is beyond a bound, or the likelihood is not supported.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, trace
        >>> from numpyro_bayeslayers.layers import censored, exponential_link
        >>> end = jnp.array([jnp.inf, 2.0])  # the second was alive after 2 years
        >>> link = censored(exponential_link, upper=end)
        >>> site = trace(link).get_trace(jnp.zeros(2), jnp.array([1.0, 2.0]))["obs"]
        >>> site["fn"].log_prob(site["value"])  # the density at 1, the survival beyond 2
        Array([-1., -2.], dtype=float32)

    References:
        Tobin (1958), "Estimation of relationships for limited dependent variables",
        Econometrica 26; Kalbfleisch and Prentice (2002), "The statistical analysis of failure
        time data", section 3.2.
    """
    bounds = _checked(link, {"lower": lower, "upper": upper})

    def seen(fn: dist.Distribution, **given: Array) -> dist.Distribution:
        return Censored(_with_tails(fn, "censored"), given.get("lower"), given.get("upper"))

    @functools.wraps(link)
    def bounded(y_hat: ArrayLike, *args: Any, **kwargs: Any) -> Array:
        with altered(seen, bounds, of_data=True):
            return link(y_hat, *args, **kwargs)

    return bounded


def truncated(
    link: Link, low: ArrayLike | None = None, high: ArrayLike | None = None
) -> Link:
    r"""Wrap a link for truncated observations, which exist only within bounds.

    $$p(y_i) = \frac{p_{\text{link}}(y_i)}{P(l_i \le Y_i \le h_i)}, \qquad l_i \le y_i \le h_i$$

    ``truncated(poisson_link, low=1)`` is the zero-truncated Poisson distribution.

    Args:
        link: A link that `censored` supports.
        low: The lower bound, included: one number, or one for each row, (n,) or (n, 1), or
            observation; minus infinity where there is none. Draws respect it.
        high: The upper bound, included, in the same form; infinity where there is none.

    Returns:
        A link with the arguments and sites of `link`.

    Raises:
        TypeError: If `link` cannot be called.
        ValueError: If a lower bound is not below its upper bound, or is NaN; when the link is
            called, if an observation is out of bounds, or `censored` does not support the
            likelihood.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import poisson_link, truncated
        >>> draws = seed(truncated(poisson_link, low=1), 0)(jnp.full(1000, -3.0))
        >>> int(draws.min()), bool(draws.mean() < 1.1)
        (1, True)

    References:
        Greene (2012), "Econometric analysis", section 19.2.
    """
    bounds = _checked(link, {"low": low, "high": high})

    def seen(fn: dist.Distribution, **given: Array) -> dist.Distribution:
        return Truncated(_with_tails(fn, "truncated"), given.get("low"), given.get("high"))

    @functools.wraps(link)
    def bounded(y_hat: ArrayLike, *args: Any, **kwargs: Any) -> Array:
        with altered(seen, bounds, of_data=False):
            return link(y_hat, *args, **kwargs)

    return bounded


def _checked(link: Link, bounds: dict[str, ArrayLike | None]) -> dict[str, ArrayLike]:
    """The given bounds; concrete ones are checked."""
    if not callable(link):
        raise TypeError(f"`link` must be a link such as gaussian_link, got {link!r}.")
    given = {name: x for name, x in bounds.items() if x is not None}
    if not given:
        raise ValueError(f"Give {' or '.join(f'`{name}`' for name in bounds)}, or both.")
    for name, x in given.items():
        kind = x.dtype if isinstance(x, jax.Array) else np.asarray(x).dtype
        if kind.kind not in "iuf":
            raise ValueError(f"`{name}` must be numbers, got an array of {kind}.")
    try:
        shape = np.broadcast_shapes(*map(np.shape, given.values()))
    except ValueError:
        shapes = " and ".join(f"`{n}` of shape {np.shape(x)}" for n, x in given.items())
        raise ValueError(
            f"{shapes} do not line up: give one bound, or one for each row."
        ) from None
    if not any(isinstance(x, jax.core.Tracer) for x in given.values()):
        _check_order({name: np.broadcast_to(x, shape) for name, x in given.items()})
    return given


def _check_order(bounds: dict[str, np.ndarray]) -> None:
    """Check that no bound is NaN, and that the lower bound is below the upper one."""
    for name, x in bounds.items():
        if np.isnan(x).any():
            raise ValueError(f"`{name}` must be numbers other than NaN.")
    if len(bounds) == 2:
        (first, low), (second, high) = bounds.items()
        wrong = np.flatnonzero(~(low < high))
        if wrong.size:
            raise ValueError(
                f"`{first}` must be below `{second}`, but it is not in row {wrong[0]}."
            )


def _with_tails(fn: dist.Distribution, word: str) -> dist.Distribution:
    if has_tails(fn):
        return fn
    raise ValueError(
        f"{law_name(fn)} cannot be {word}: the probabilities of its tails are not implemented. "
        "The supported links are gaussian, heteroscedastic, student_t, lognormal, gamma, "
        "exponential, weibull and poisson."
    )
