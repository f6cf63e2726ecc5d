"""Values for latent sites with improper priors, which cannot be sampled."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.primitives import Messenger

from .._typing import Message


class feasible(Messenger):  # noqa: N801
    """Gives improper sites a point of their support when a model is only inspected.

    NumPyro's samplers and guides initialize such sites themselves, but a trace for names and
    shapes would have to draw them. Handlers that provide a value must be inside this one.

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
    """Whether a distribution is improper, possibly expanded or masked."""
    while isinstance(
        fn, (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)
    ):
        fn = fn.base_dist
    return isinstance(fn, dist.ImproperUniform)
