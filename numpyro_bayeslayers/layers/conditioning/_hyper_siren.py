"""Sinusoidal networks with weights that depend on the context."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractLayer, call_child
from ..._settings import setting
from ..._typing import PRNGKey
from ..fields._siren import bias_bound, layer_places, layer_sizes, weight_bound
from ._conditioner import as_rows, uniform_linear
from ._hyper_linear import HyperLinear
from ._parameter_net import parameters_of


class HyperSIREN(AbstractLayer):
    r"""A sinusoidal network with all weights generated from a context.

    $$z = \text{net}(\mu), \qquad h_{l+1} = \sin\big(\omega_l (W_l(z) h_l + b_l(z))\big), \qquad
    y = W_{L-1}(z) h_{L-1} + b_{L-1}(z)$$

    For standard normal $z$ the weights generated at construction have `init_scale` times the
    standard deviation of the weights of `SIREN` in the same layer.

    Args:
        in_features: Size of the last axis of the input.
        hidden_features: Units of each hidden layer.
        out_features: Size of the last axis of the output.
        depth: Number of layers, including the readout, at least two.
        cond_dim: Size of the latent context $z$.
        parameter_net: Network that maps the context $\mu$ to $z$: a layer, or any callable of
            one context, such as `equinox.nn.MLP`.
        key: Random key of the generators.
        first_omega: Frequency $\omega_0$ of the first layer, positive.
        hidden_omega: Frequency of the other layers, positive.
        c: Constant in the scale of the weights, positive.
        init_scale: Multiplier of the weights' standard deviations, positive.
        name: Prefix of the sites of `parameter_net`, if it has any.

    Raises:
        ValueError: If a size or constant is not positive, the depth is below two, or the shapes
            of coordinates and contexts do not match.
        TypeError: If the network cannot be called.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = HyperSIREN(
        ...     2, 16, 1, depth=3, cond_dim=4, parameter_net=jnp.tanh, key=jax.random.key(0)
        ... )
        >>> net(jnp.ones((5, 2)), jnp.ones(4)).shape
        (5, 1)

    References:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein (2020), "Implicit neural
        representations with periodic activation functions", NeurIPS, section 4.4 (weights
        from a hypernetwork).
    """

    hyper_layers: tuple[HyperLinear, ...]
    parameter_net: Callable[..., Any]
    omegas: tuple[float, ...] = setting(check=_checks.sequence(_checks.positive))
    cond_dim: int = setting(check=_checks.size)
    name: str | None = setting(check=_checks.optional_label)

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        out_features: int,
        *,
        depth: int,
        cond_dim: int,
        parameter_net: Callable[..., Any],
        key: PRNGKey,
        first_omega: float = 30.0,
        hidden_omega: float = 30.0,
        c: float = 6.0,
        init_scale: float = 0.1,
        name: str | None = None,
    ) -> None:
        _checks.function("parameter_net", parameter_net)
        cond_dim = _checks.size("cond_dim", cond_dim)
        c = _checks.positive("c", c)
        init_scale = _checks.positive("init_scale", init_scale)
        sizes = layer_sizes(in_features, hidden_features, out_features, depth)
        places, omegas = layer_places(depth, first_omega, hidden_omega)
        layers = []
        keys = random.split(key, len(sizes))
        for i, ((d_in, d_out), place, omega) in enumerate(
            zip(sizes, places, omegas, strict=True)
        ):
            # A sum over K context entries has K times the variance of one term.
            factor = init_scale / math.sqrt(cond_dim)
            count = d_out * d_in
            generator = uniform_linear(cond_dim, count + d_out, keys[i], factor, 0.0)
            bounds = jnp.concatenate(
                [
                    jnp.full(count, weight_bound(place, d_in, omega, c)),
                    jnp.full(d_out, bias_bound(d_in)),
                ]
            )
            weight = generator.weight * bounds[:, None]
            generator = eqx.tree_at(lambda m: m.weight, generator, weight)
            layers.append(HyperLinear(d_in, d_out, cond_dim, generator, f"hyper_{i}"))
        self.hyper_layers = tuple(layers)
        self.parameter_net = parameter_net
        self.omegas = tuple(omegas)
        self.cond_dim = cond_dim
        self.name = name

    @property
    def in_features(self) -> int:
        """Size of the last axis of the input."""
        return self.hyper_layers[0].target_in

    def _forward(
        self, x: Num[ArrayLike, "*batch d_in"], mu: Num[ArrayLike, "*batch_mu k"]
    ) -> Float[Array, "*rest d_out"]:
        h, mu = as_rows("x", x), as_rows("mu", mu)
        _checks.last_axis("x", h, "in_features", self.in_features)
        z = parameters_of(self.parameter_net, mu)
        _checks.last_axis("parameter_net(mu)", z, "cond_dim", self.cond_dim)
        last = len(self.hyper_layers) - 1
        for i, (layer, omega) in enumerate(
            zip(self.hyper_layers, self.omegas, strict=True)
        ):
            h = call_child(f"hyper_{i}", layer, h, z)
            h = h if i == last else jnp.sin(omega * h)
        return h
