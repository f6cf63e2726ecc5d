"""Partial non-centering of location-scale sites."""

import difflib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.primitives import _PYRO_STACK, Messenger, deterministic, sample

from .. import _checks
from .._centering import RECENTERED, Asked, check_shape, drawn_at, loc_scale_of, value_at
from .._typing import Message, Model
from ._above import above, as_site


class recenter(Messenger):  # noqa: N801
    r"""Draw location-scale sites in coordinates between non-centered and centered.

    $$z \sim F(c\,\mu,\; \sigma^c), \qquad \theta = \mu + \sigma^{1 - c}\,(z - c\,\mu)$$

    with one number $c$ for a site or for each of its entries. The distribution of $\theta$ is
    the same for every $c$, but the geometry for a sampler differs. The best value is 0 where
    the data are uninformative about an entry and 1 where they are informative; in the normal
    case it is the share of the information that comes from the data.

    Each site ``theta`` in `centering` becomes deterministic, and ``theta_recentered`` is drawn
    instead. This works for sites of `numpyro.sample` from a location-scale family or an
    elementwise transform of one (such as the log-normal), for coefficients of regression layers
    by name (``store.theta``), whatever the `centered` of the layer, and for sites under
    `infer.autoreparam`. The layer's base, ``store.theta_base``, also becomes deterministic, so
    that draws contain all sites of the original model. For a `RandomWalkLayer`, name its steps,
    ``delta``, and give numbers for their components.

    Args:
        fn: A NumPyro model.
        centering: For each site name, a number from 0 (non-centered) to 1 (centered), or an
            array of such numbers that broadcasts to the site's shape, including plates.

    Raises:
        TypeError: If `centering` is not a dictionary.
        ValueError: If a number is not from 0 to 1; when run, if an array has the wrong shape,
            or the model has no such site.

    Example:
        >>> import numpyro.distributions as dist
        >>> from numpyro.handlers import seed, trace
        >>> def model():
        ...     spread = sample("spread", dist.HalfNormal(1.0))
        ...     sample("effect", dist.Normal(jnp.zeros(3), spread).to_event(1))
        >>> between = recenter(model, {"effect": jnp.array([0.0, 0.5, 1.0])})
        >>> list(trace(seed(between, 0)).get_trace())
        ['spread', 'effect_recentered', 'effect']

    References:
        Papaspiliopoulos, Roberts, Sköld (2007), "A general framework for the
        parametrization of hierarchical models", Statistical Science 22, section 2; Gorinova,
        Moore, Hoffman (2020), "Automatic reparameterisation of probabilistic programs", ICML.
    """

    def __init__(
        self, fn: Model | None = None, centering: Mapping[str, Any] | None = None
    ) -> None:
        _checks.instance(
            "centering", centering, Mapping, "a dictionary from names of sites"
        )
        self.centering = checked_centering(centering or {})
        self._met: dict[str, None] = {}
        super().__init__(fn)

    def __enter__(self) -> Any:
        self._met = {}
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        left = [name for name in self.centering if name not in self._met]
        if exception[0] is None and left:
            near = difflib.get_close_matches(left[0], self._met, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"`centering` must name sites with a location and a scale, of which the model "
                f"has {list(self._met)}, got {left[0]!r}.{hint}"
            )

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "centering" and msg["value"] is None:
            at = next(i for i, other in enumerate(_PYRO_STACK) if other is self)
            name = msg["args"][0][at]
            self._met[name] = None
            msg["value"] = self._answer(name)
        elif _is_latent(msg) and not msg["name"].endswith(RECENTERED):
            self._redraw(msg)

    def _answer(self, name: str) -> Asked | None:
        return Asked(name, self.centering[name]) if name in self.centering else None

    def _redraw(self, msg: Message) -> None:
        found, name = loc_scale_of(msg["fn"]), msg["name"]
        if found is None:
            return
        self._met[name] = None
        asked = self._answer(name)
        if asked is None or asked.centered is None:
            return
        centered = asked.centered
        check_shape(name, centered, msg["fn"].shape())
        law = drawn_at(found.law, found.loc, found.scale, centered)
        with above(self), as_site(msg):
            z: Any = sample(name + RECENTERED, law)
        value = value_at(z, found.loc, found.scale, centered)
        for transform in found.transforms:
            value = transform(value)
        become_deterministic(msg, value)


def checked_centering(centering: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers from 0 to 1, by site.

    Raises:
        ValueError: If one is out of range.
    """
    return {name: _checked(name, c) for name, c in centering.items()}


def _is_latent(msg: Message) -> bool:
    return msg["type"] == "sample" and not msg["is_observed"] and msg["value"] is None


def become_deterministic(msg: Message, value: Any) -> None:
    """Turn the message of a sample site into that of a deterministic site."""
    msg["type"] = deterministic.__name__
    msg["value"] = value
    for key in set(msg) - {"type", "name", "value", "cond_indep_stack"}:
        del msg[key]


def _checked(name: str, centered: Any) -> Any:
    """Convert a number to a float, so that 0 is not an integer; arrays are unchanged."""
    if isinstance(centered, jax.core.Tracer):
        return centered
    values = np.asarray(centered)
    is_number = np.issubdtype(values.dtype, np.number) or values.dtype == bool
    if not is_number or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"`centering` of the site {name!r} must be from 0 (non-centered) to 1 (centered), "
            f"got {centered!r}."
        )
    return float(values) if values.ndim == 0 else jnp.asarray(values, float)
