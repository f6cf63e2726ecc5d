r"""Observation models: from the value of a field to the distribution of a measurement.

Each observation model maps the field's value $f$ and a few parameters with logistic priors to
the distribution of the measurement in its own units. The field itself is of order one: the
location and scale of the training targets are part of the distribution, so that the same priors
suit targets in any units.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float
from numpyro.distributions.discrete import ZeroInflatedLogits  # not public before 0.22

Sites = dict[str, Array]


class Units(NamedTuple):
    """Location and scale of the field, in the units of the target."""

    shift: float = 0.0
    scale: float = 1.0


class ObservationModel(NamedTuple):
    """An observation model.

    Args:
        priors: The centers of the Logistic(center, 1) priors by site.
        starts: Initial values of these sites; 0 for those left out.
        distribution: The function from the field, the sites and the units to the distribution.
        is_count: Whether targets are counts.
    """

    priors: dict[str, float]
    starts: dict[str, float]
    distribution: Callable[[Array, Sites, Units], dist.Distribution]
    is_count: bool

    def units(self, y: Float[np.ndarray, " n"]) -> Units:
        """The training targets' mean for counts, else their mean and standard deviation."""
        if self.is_count:
            return Units(0.0, float(y.mean()) or 1.0)
        return Units(float(y.mean()), float(y.std()) or 1.0)

    def check(self, name: str, y: Float[np.ndarray, " n"]) -> None:
        """Check that the targets in the column `name` are possible in this model."""
        bad = y[(y < 0) | (y != np.floor(y))]
        if self.is_count and len(bad):
            raise ValueError(
                f"The column {name!r} must hold counts (integers of at least 0), got "
                f"{len(bad)} other values, such as {bad[0]:g}. Use "
                "`observation_model`='NORMAL'."
            )


def _normal(f: Array, sites: Sites, units: Units) -> dist.Distribution:
    noise = 0.01 + jnp.exp(sites["log_noise_scale"])
    return dist.Normal(units.shift + units.scale * f, units.scale * noise)


def _negative_binomial(f: Array, sites: Sites, units: Units) -> dist.Distribution:
    # The variance is mean + mean² shape.
    shape = jax.nn.softplus(sites["shape"])
    logits = _log_softplus(f) + jnp.log(units.scale * shape)
    total_count = jnp.broadcast_to(1 / shape, jnp.shape(logits))
    return dist.NegativeBinomialLogits(total_count, logits)


def _zero_inflated(f: Array, sites: Sites, units: Units) -> dist.Distribution:
    base = _negative_binomial(f, sites, units)
    gate_logits = jnp.broadcast_to(sites["inflation_logit"], base.batch_shape)
    return ZeroInflated(base, gate_logits)


def _log_softplus(x: Array) -> Array:
    """log(log(1 + exp(x))), which tends to x for very negative x."""
    return jnp.where(x < -15.0, x, jnp.log(jax.nn.softplus(jnp.maximum(x, -15.0))))


class ZeroInflated(ZeroInflatedLogits):
    """NumPyro's zero-inflated distribution, with the `cdf` that quantiles of mixtures need."""

    def cdf(self, value: ArrayLike) -> Array:
        """The probability of at most `value`."""
        return self.gate + (1 - self.gate) * self.base_dist.cdf(value)


OBSERVATION_MODELS = {
    # The initial noise is half the standard deviation of the targets.
    "NORMAL": ObservationModel(
        {"log_noise_scale": 0.0}, {"log_noise_scale": float(np.log(0.5))}, _normal, False
    ),
    "NB": ObservationModel({"shape": -1.5}, {}, _negative_binomial, True),
    "ZINB": ObservationModel(
        {"shape": -1.5, "inflation_logit": 0.0}, {}, _zero_inflated, True
    ),
}
