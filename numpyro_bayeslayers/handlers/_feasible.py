"""Values for latent sites that have no law to draw from."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.primitives import Messenger

from .._typing import Message


class feasible(Messenger):  # noqa: N801
    """Gives improper sites a point of their support, where a model is only looked at.

    NumPyro's samplers and guides find starts of such sites by themselves; a trace that
    wants names and shapes would have to draw them. Handlers that know a value stand inside.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> from numpyro.handlers import seed, trace
        >>> def model():
        ...     numpyro.sample("b", dist.ImproperUniform(dist.constraints.positive, (), (2,)))
        >>> trace(seed(feasible(model), 0)).get_trace()["b"]["value"].tolist()
        [1.0, 1.0]
    """

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or msg["value"] is not None:
            return
        fn: Any = msg["fn"]
        if is_improper(fn):
            shape = tuple(msg["kwargs"].get("sample_shape", ())) + fn.shape()
            msg["value"] = fn.support.feasible_like(jnp.zeros(shape))


def is_improper(fn: Any) -> bool:
    """Whether a distribution is an improper one, expanded or masked perhaps."""
    while isinstance(
        fn, (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)
    ):
        fn = fn.base_dist
    return isinstance(fn, dist.ImproperUniform)
