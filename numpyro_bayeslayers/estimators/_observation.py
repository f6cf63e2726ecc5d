r"""How a field becomes measurements.

Each observation model turns the field's value $f$ and a few numbers of its own, each with a
logistic prior, into a distribution of the measurement in its own units. The field itself is
of order one: the units of the training targets, a shift and a scale, are part of the
distribution, so that the same priors are right whatever the targets are measured in.
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
    """Where zero of the field is, and how much one is, in the units of the target."""

    shift: float = 0.0
    scale: float = 1.0


class ObservationModel(NamedTuple):
    """An observation model, as data.

    Args:
        priors: Its sites, and the centers of their Logistic(center, 1) priors.
        starts: Where optimization starts these sites; 0 for those left out.
        distribution: From the field, the sites and the units to the distribution.
        is_count: Whether targets are whole numbers from zero.
    """

    priors: dict[str, float]
    starts: dict[str, float]
    distribution: Callable[[Array, Sites, Units], dist.Distribution]
    is_count: bool

    def units(self, y: Float[np.ndarray, " n"]) -> Units:
        """The units of the training targets: their mean for counts, else mean and deviation."""
        if self.is_count:
            return Units(0.0, float(y.mean()) or 1.0)
        return Units(float(y.mean()), float(y.std()) or 1.0)

    def check(self, name: str, y: Float[np.ndarray, " n"]) -> None:
        """The targets, the column `name`, can have come from this model."""
        bad = y[(y < 0) | (y != np.floor(y))]
        if self.is_count and len(bad):
            raise ValueError(
                f"The column {name!r} must hold whole numbers from zero for counts, got "
                f"{len(bad)} others, {bad[0]:g} for one. Use `observation_model`='NORMAL'."
            )


def _normal(f: Array, sites: Sites, units: Units) -> dist.Distribution:
    noise = 0.01 + jnp.exp(sites["log_noise_scale"])
    return dist.Normal(units.shift + units.scale * f, units.scale * noise)


def _negative_binomial(f: Array, sites: Sites, units: Units) -> dist.Distribution:
    # Variance mean + mean² shape.
    shape = jax.nn.softplus(sites["shape"])
    logits = _log_softplus(f) + jnp.log(units.scale * shape)
    total_count = jnp.broadcast_to(1 / shape, jnp.shape(logits))
    return dist.NegativeBinomialLogits(total_count, logits)


def _zero_inflated(f: Array, sites: Sites, units: Units) -> dist.Distribution:
    base = _negative_binomial(f, sites, units)
    gate_logits = jnp.broadcast_to(sites["inflation_logit"], base.batch_shape)
    return ZeroInflated(base, gate_logits)


def _log_softplus(x: Array) -> Array:
    """log(log(1 + exp(x))), which is x far on the left."""
    return jnp.where(x < -15.0, x, jnp.log(jax.nn.softplus(jnp.maximum(x, -15.0))))


class ZeroInflated(ZeroInflatedLogits):
    """NumPyro's zero-inflated counts, with the `cdf` that quantiles of mixtures need."""

    def cdf(self, value: ArrayLike) -> Array:
        """The probability of a value of at most `value`, from zero."""
        return self.gate + (1 - self.gate) * self.base_dist.cdf(value)


OBSERVATION_MODELS = {
    # Noise starts at half the deviation of the targets.
    "NORMAL": ObservationModel(
        {"log_noise_scale": 0.0}, {"log_noise_scale": float(np.log(0.5))}, _normal, False
    ),
    "NB": ObservationModel({"shape": -1.5}, {}, _negative_binomial, True),
    "ZINB": ObservationModel(
        {"shape": -1.5, "inflation_logit": 0.0}, {}, _zero_inflated, True
    ),
}
