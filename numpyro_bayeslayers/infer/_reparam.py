"""Decorators of models: other coordinates for the sampler, columns for the layers."""

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

# What NumPyro adds to the name of a site for its decentered draw.
DECENTERED = "_decentered"


def autoreparam(model: Model | None = None, *, centered: float = 0.0) -> Any:
    r"""Draw every location-scale latent site of a model in other coordinates.

    $$z \sim F(c\,\mu,\; \sigma^c), \qquad \theta = \mu + \sigma^{1 - c}\,(z - c\,\mu)$$

    The law of $\theta$ is the same for each $c$, the shape of the posterior is not: where
    the data say little about $\theta$ and $\sigma$ is a site itself, $c = 0$ takes the
    funnel away that NUTS diverges in; where they say much, $c = 1$ is better.

    Each site ``theta`` becomes a deterministic one, and ``theta_decentered`` is drawn. These
    are the sites of families with a location and a scale (normal, Student's t, Laplace,
    Cauchy, Gumbel, logistic, soft and asymmetric Laplace), plated and expanded ones, and what
    element by element comes of such a site, the log-normal for one. Left as they are:
    observed sites (without its observations such a site is drawn in the other coordinates
    too, which changes nothing), sites of other families, and standard ones, whose location
    and scale are the numbers 0 and 1: the base that the regression layers of this package
    draw by themselves.

    Args:
        model: Any NumPyro model, when used without parentheses.
        centered: The centeredness $c$: 0 draws the standardized value, 1 leaves the model as
            it is.

    Returns:
        The model, or a decorator of models: ``@autoreparam`` and
        ``@autoreparam(centered=0.5)`` are both right.

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
    """Answers location-scale sites by a deterministic site and a decentered draw."""

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
    """Whether `value` is that number, and known to be: jit or not, the answer is one."""
    is_known = isinstance(value, (Number, np.ndarray, np.generic))
    return is_known and bool(np.all(value == number))


def autoreshape(model: Model) -> Model:
    """Hand a model its data as columns: floating-point arrays (n,) become (n, 1).

    For models whose own formulas are written for (n, d), in which (n,) beside (n, 1) would
    become (n, n). The layers of this package take both. Integers and booleans stay as they
    are: they number categories, or count.

    Args:
        model: Any NumPyro model.

    Returns:
        The model; arguments by position and by keyword are looked at, and NumPy and JAX
        arrays among them changed.

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
