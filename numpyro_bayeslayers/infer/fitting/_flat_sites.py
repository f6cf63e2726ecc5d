"""Latent sites as one flat vector of unconstrained numbers."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import biject_to
from numpyro.infer.autoguide import AutoContinuous

#: The parameter that holds the vector.
LOC = "auto_loc"


class AutoMode(AutoContinuous):
    """A point guide at the mode of the density in unconstrained space."""

    def _get_posterior(self) -> dist.Distribution:
        loc = numpyro.param(f"{self.prefix}_loc", self._init_latent)
        return dist.Delta(loc, event_dim=1)

    def median(self, params: dict[str, Array]) -> dict[str, Array]:
        return self._unpack_and_constrain(params[f"{self.prefix}_loc"], params)


class FlatSites:
    """The latent sites of an initialized guide, in its order.

    Args:
        guide: An `AutoMode`.
    """

    def __init__(self, guide: Any) -> None:
        self._guide = guide
        self.shapes = {n: np.shape(x) for n, x in guide._init_locs.items()}
        self.places: dict[str, np.ndarray] = {}
        self.count = 0
        for name, shape in self.shapes.items():
            self.places[name] = np.arange(self.count, self.count + math.prod(shape))
            self.count += math.prod(shape)

    def unpack(self, flat: Array) -> dict[str, Array]:
        """Split a vector by site."""
        return {n: flat[at].reshape(self.shapes[n]) for n, at in self.places.items()}

    def law(self, name: str) -> dist.Distribution:
        """The prior of a site when the guide was initialized."""
        return self._guide.prototype_trace[name]["fn"]

    def transform(self, name: str) -> Any:
        """The transform from an unconstrained site to the site."""
        return biject_to(self.law(name).support)

    def emit(self, flat: Array, log_density: Any = 0.0) -> None:
        """Emit all sites at a drawn vector, with the given log density."""
        for name, free in self.unpack(flat).items():
            transform, event = self.transform(name), self.law(name).event_dim
            value = transform(free)
            batch = jnp.shape(value)[: jnp.ndim(value) - event]
            own = -transform.log_abs_det_jacobian(free, value)
            own = own.sum(tuple(range(len(batch), jnp.ndim(own))))
            # The log density of the whole vector, split evenly over the batch of the first
            # site.
            own, log_density = own + log_density / math.prod(batch), 0.0
            numpyro.sample(name, dist.Delta(value, own, event_dim=event))
