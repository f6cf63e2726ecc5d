r"""Likelihoods of table estimators: from network outputs to standardized outcomes.

Each likelihood maps the outputs at a row and a few shared parameters to the distribution of the
outcome. A factor chosen on held-out rows widens or narrows it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ..distributions._counts import LogNegativeBinomial, LogPoisson
from ._observation import ZeroInflated

Sites = Mapping[str, Array]
# The smallest noise, as a fraction of the outcome's standard deviation.
_LEAST = 1e-3


class Likelihood(NamedTuple):
    """A likelihood.

    Args:
        law: ``law(outputs, sites, factor)``, the distribution of the outcome.
        priors: The function that returns the priors of the shared parameters by site.
        has_noise: Whether the noise scale is a network output too.
        is_log: Whether the distribution is that of the logarithm of the outcome.
        can_widen: Whether the factor has an effect.
    """

    law: Callable[[Float[Array, "*rows k"], Sites, Any], dist.Distribution]
    priors: dict[str, Callable[[], dist.Distribution]] = {}
    has_noise: bool = False
    is_log: bool = False
    can_widen: bool = True


def _scale(raw: Array, factor: Any) -> Array:
    return factor * (_LEAST + jax.nn.softplus(raw))


def _normal(outputs: Array, sites: Sites, factor: Any) -> dist.Distribution:
    return dist.Normal(outputs[..., 0], _scale(outputs[..., 1], factor))


def _homoscedastic(outputs: Array, sites: Sites, factor: Any) -> dist.Distribution:
    return dist.Normal(outputs[..., 0], factor * sites["sigma"])


def _student_t(outputs: Array, sites: Sites, factor: Any) -> dist.Distribution:
    return dist.StudentT(
        1.0 + sites["df"], outputs[..., 0], _scale(outputs[..., 1], factor)
    )


def _classes(outputs: Array, sites: Sites, factor: Any) -> dist.Distribution:
    return dist.Categorical(logits=outputs / factor)


def _poisson(outputs: Array, sites: Sites, factor: Any) -> dist.Distribution:
    return LogPoisson(outputs[..., 0])


def _negative_binomial(outputs: Array, sites: Sites, factor: Any) -> dist.Distribution:
    log_mean = outputs[..., 0]
    excess = jnp.maximum(factor * sites["excess"], 1e-3)
    return LogNegativeBinomial(log_mean, jnp.broadcast_to(excess**-2, log_mean.shape))


def _zero_inflated(outputs: Array, sites: Sites, factor: Any) -> dist.Distribution:
    base = _negative_binomial(outputs, sites, factor)
    gate = sites["gate"]
    logits = jnp.log(gate) - jnp.log1p(-gate)
    return ZeroInflated(base, jnp.broadcast_to(logits, base.batch_shape))


_EXCESS: dict[str, Any] = {"excess": lambda: dist.Exponential(1.0)}

REGRESSION = {
    "normal": Likelihood(_normal, has_noise=True),
    "homoscedastic": Likelihood(_homoscedastic, {"sigma": lambda: dist.Exponential(1.0)}),
    "student_t": Likelihood(
        _student_t, {"df": lambda: dist.Gamma(2.0, 0.1)}, has_noise=True
    ),
    "lognormal": Likelihood(_normal, has_noise=True, is_log=True),
}
COUNTS = {
    "poisson": Likelihood(_poisson, can_widen=False),
    "negative_binomial": Likelihood(_negative_binomial, _EXCESS),
    "zinb": Likelihood(_zero_inflated, _EXCESS | {"gate": lambda: dist.Beta(1.0, 10.0)}),
}
CLASSES = {"categorical": Likelihood(_classes)}
LIKELIHOODS = REGRESSION | COUNTS | CLASSES
