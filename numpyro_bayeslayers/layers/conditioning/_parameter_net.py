"""Networks that compute parameters from a context."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

from ..._base import AbstractLayer, call_child


def parameters_of(net: Callable[..., Any], z: Array) -> Array:
    """The output of `net` at a context (K,) or at contexts (N, K).

    A layer is called with rows; any other callable, such as `equinox.nn.MLP`, with one context.
    """
    if isinstance(net, AbstractLayer):
        return call_child("parameter_net", net, z)
    return net(z) if z.ndim == 1 else jax.vmap(net)(z)
