"""Properties of the distribution of the observations: mean, density, probabilities.

An extra argument among the rows requests a property. A handler around the model then adds a
deterministic site next to the observed one, and this site is predicted like any other.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...distributions import EnsembleMixture
from ...distributions._support import law_name, law_of, mask_of
from ...handlers._above import above

#: The key under which the rows hold the requested property and site.
ASKED = "law$asked"

_NO_MEAN = (
    "The likelihood at {name!r}, {law}, has no mean. `predict` has draws and their quantiles, "
    "and of labels the probability of each."
)

_SWITCHES = dist.BernoulliProbs, dist.BernoulliLogits
_CLASSES = dist.CategoricalProbs, dist.CategoricalLogits


def mean_of(msg: Message) -> Array:
    """The mean of a site's distribution.

    Raises:
        ValueError: If the distribution has no mean.
    """
    fn: dist.Distribution = msg["fn"]
    error = ValueError(_NO_MEAN.format(name=msg["name"], law=law_name(fn)))
    if isinstance(_one_of(fn), (*_CLASSES, dist.Cauchy, dist.HalfCauchy)):
        raise error
    try:
        mean = fn.mean
    except NotImplementedError:
        raise error from None
    return jnp.broadcast_to(mean, fn.shape())


def density_of(msg: Message) -> Array:
    """The log density of a site's observations, in nats."""
    return _predictive(msg["fn"]).log_prob(msg["value"])


def counts_of(msg: Message) -> Array:
    """Whether each observation counts, or is excluded by a mask."""
    return jnp.broadcast_to(mask_of(msg["fn"]), msg["fn"].batch_shape)


def probabilities_of(msg: Message) -> Array:
    """The probability of each label, along the last axis."""
    fn, law = msg["fn"], law_of(msg["fn"])
    if isinstance(law, EnsembleMixture):
        found = jnp.exp(law.log_prob(law.enumerate_support()))
        return jnp.moveaxis(jnp.broadcast_to(found, (len(found), *fn.shape())), 0, -1)
    found = _each_label(_one_of(fn))
    if isinstance(law, dist.MixtureSameFamily):
        components: Any = law.component_distribution
        found = jnp.broadcast_to(found, (*components.batch_shape, found.shape[-1]))
        weights: Any = law.mixing_distribution
        found = jnp.sum(weights.probs[..., None] * found, -2)
    return jnp.broadcast_to(found, (*fn.shape(), found.shape[-1]))


def are_labels(fn: dist.Distribution) -> bool:
    """Whether observations are class labels, of two or more classes.

    Counts are not labels, even for one trial, because the number of trials is data.
    """
    return isinstance(_one_of(fn), (*_SWITCHES, *_CLASSES))


def _each_label(law: Any) -> Array:
    if isinstance(law, dist.BernoulliLogits):
        return jax.nn.sigmoid(jnp.stack([-law.logits, law.logits], -1))
    if isinstance(law, dist.BernoulliProbs):
        return jnp.stack([1 - law.probs, law.probs], -1)
    return law.probs


def _one_of(fn: dist.Distribution) -> dist.Distribution:
    """The distribution itself, or that of the components of a mixture."""
    law = law_of(_predictive(fn))
    if isinstance(law, (EnsembleMixture, dist.MixtureSameFamily)):
        return law_of(law.component_distribution)
    return law


def _predictive(fn: dist.Distribution) -> Any:
    """The predictive distribution, which differs from the site's where that is a bound."""
    own: Any = getattr(law_of(fn), "predictive", None)
    if own is None:
        return fn
    own = own.expand(fn.shape()).to_event(fn.event_dim)
    mask = mask_of(fn)
    return own if mask is True else own.mask(mask)


#: The properties, as functions of the site's message.
LAWS: dict[str, Callable[[Message], Array]] = {
    "mean": mean_of,
    "density": density_of,
    "value": lambda msg: msg["value"],
    "counts": counts_of,
    "probabilities": probabilities_of,
}


def ask(site: str, what: str) -> dict[str, Any]:
    """The argument that requests a property."""
    return {ASKED: {"site": site, "what": what}}


def name_of(site: str, what: str) -> str:
    """The name of the added site."""
    return f"{site}${what}"


def asked(model: Model, rows: dict[str, Any]) -> tuple[Model, dict[str, Any]]:
    """The model with the requested sites added, and its remaining arguments."""
    if ASKED not in rows:
        return model, rows
    rows = dict(rows)
    given = rows.pop(ASKED)
    return _answering(model, given["site"], given["what"]), rows


class _answering(Messenger):  # noqa: N801
    """Adds the requested property of a site's distribution."""

    def __init__(self, fn: Model, site: str, what: str) -> None:
        self.site = site
        self.what = what
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "sample" and msg["name"] == self.site:
            with above(self):
                numpyro.deterministic(name_of(self.site, self.what), LAWS[self.what](msg))


def log_mean(
    draws: Float[Array, "draws members n ..."],
) -> Float[Array, " n"]:
    """The log of the mean density over draws, one observation per row."""
    each = draws.reshape(-1, draws.shape[2], draws[0, 0, 0].size).sum(-1)
    return jax.nn.logsumexp(each, axis=0) - jnp.log(each.shape[0])
