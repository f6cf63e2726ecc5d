"""Model decorators: reparameterization, and arguments reshaped to columns."""

import functools
from numbers import Number
from typing import Any

import jax
import numpy as np
from numpyro.primitives import Messenger

from .. import _checks
from .._centering import loc_scale_of, sample_around, value_at
from .._typing import Message, Model
from ..handlers._above import above, as_site
from ..handlers._recenter import become_deterministic

# NumPyro's suffix for the name of a decentered site.
DECENTERED = "_decentered"


def autoreparam(model: Model | None = None, *, centered: float = 0.0) -> Any:
    r"""Reparameterize every location-scale latent site of a model.

    $$z \sim F(c\,\mu,\; \sigma^c), \qquad \theta = \mu + \sigma^{1 - c}\,(z - c\,\mu)$$

    The distribution of $\theta$ is the same for each $c$, but the geometry of the posterior
    differs. If the data are weakly informative about $\theta$ and $\sigma$ is itself a latent
    site, $c = 0$ removes the funnel that makes NUTS diverge; if they are strongly informative,
    $c = 1$ is better.

    Each such site ``theta`` becomes deterministic, and ``theta_decentered`` is sampled. This
    applies to location-scale families (normal, Student's t, Laplace, Cauchy, Gumbel, logistic,
    soft and asymmetric Laplace), including plated and expanded sites and elementwise
    transformations such as the log-normal. It does not apply to observed sites, to other
    families, or to sites whose location and scale are the constants 0 and 1, such as the
    standardized sites of the regression layers in this package. (If the observations are left
    out, an observed site is reparameterized too, which does not change its distribution.)

    Args:
        model: Any NumPyro model, when used without parentheses.
        centered: The centeredness $c$, from 0 to 1: 0 samples the standardized value, 1 leaves
            the model unchanged.

    Returns:
        The model, or a decorator: both ``@autoreparam`` and ``@autoreparam(centered=0.5)``
        work.

    Raises:
        TypeError: If `centered` is not a number.
        ValueError: If it is not from 0 to 1.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> from numpyro.handlers import seed, trace
        >>> @autoreparam
        ... def model():
        ...     spread = numpyro.sample("spread", dist.HalfNormal(1.0))
        ...     numpyro.sample("effect", dist.Normal(0.0, spread))
        >>> list(trace(seed(model, 0)).get_trace())
        ['spread', 'effect_decentered', 'effect']

    References:
        Papaspiliopoulos, Roberts, Sköld (2007), "A general framework for the
        parametrization of hierarchical models", Statistical Science 22, section 2; Gorinova,
        Moore, Hoffman (2020), "Automatic reparameterisation of probabilistic programs", ICML.
    """
    centered = _checks.fraction("centered", centered)
    if model is None:
        return functools.partial(autoreparam, centered=centered)
    return _decenter(model, centered)


class _decenter(Messenger):  # noqa: N801
    """Replaces location-scale sites by a decentered sample site and a deterministic site."""

    def __init__(self, fn: Model, centered: float) -> None:
        self.centered = centered
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        is_latent = msg["type"] == "sample" and not msg["is_observed"]
        if not is_latent or msg["value"] is not None or self.centered == 1.0:
            return
        found = loc_scale_of(msg["fn"])
        if found is None or (_is_all(found.loc, 0.0) and _is_all(found.scale, 1.0)):
            return
        name, c = msg["name"], self.centered
        parts = found.law, found.loc, found.scale, c
        with above(self), as_site(msg):
            own = sample_around(name, name + DECENTERED, *parts).value
        value = value_at(own, found.loc, found.scale, c)
        for transform in found.transforms:
            value = transform(value)
        become_deterministic(msg, value)


def _is_all(value: Any, number: float) -> bool:
    """Whether `value` is known to equal that number; the answer is the same under jit."""
    is_known = isinstance(value, (Number, np.ndarray, np.generic))
    return is_known and bool(np.all(value == number))


def autoreshape(model: Model) -> Model:
    """Pass data to a model as columns: floating-point arrays (n,) become (n, 1).

    Use it for models whose own formulas are written for (n, d) arrays, where combining (n,)
    with (n, 1) would broadcast to (n, n). The layers of this package accept both. Integer and
    boolean arrays are not changed: they are codes of categories or counts.

    Args:
        model: Any NumPyro model.

    Returns:
        The model. Positional and keyword arguments that are NumPy or JAX arrays are reshaped.

    Example:
        >>> import jax.numpy as jnp
        >>> @autoreshape
        ... def model(x, group, y=None):
        ...     return x.shape, group.shape
        >>> model(jnp.ones(3), jnp.arange(3))
        ((3, 1), (3,))
    """

    @functools.wraps(model)
    def on_columns(*args: Any, **kwargs: Any) -> Any:
        columns = {name: _as_column(value) for name, value in kwargs.items()}
        return model(*map(_as_column, args), **columns)

    return on_columns


def _as_column(value: Any) -> Any:
    is_column = (
        isinstance(value, (jax.Array, np.ndarray))
        and value.ndim == 1
        and np.issubdtype(value.dtype, np.inexact)
    )
    return value[:, None] if is_column else value
