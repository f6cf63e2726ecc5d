"""Sinusoidal networks with trainable weights."""

import math
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ...basis._fourier import as_float
from ...primitives import Site, linear

# Position of a layer in its network, which determines the initial weights and the activation.
Place: TypeAlias = Literal["first", "hidden", "last"]


PLACES = get_args(Place)


def weight_bound(place: Place, in_features: int, omega: float, c: float) -> float:
    """Largest absolute initial weight, after Sitzmann et al."""
    if place == "first":
        return 1 / in_features
    return math.sqrt(c / in_features) / omega


def bias_bound(in_features: int) -> float:
    """Largest absolute initial bias."""
    return 1 / math.sqrt(in_features)


class SirenDense(eqx.Module):
    r"""A dense layer with a sine activation, $\sin(\omega (x W + b))$, and trainable weights.

    This is a plain module without sites: `weight` and `bias` are leaves for an optimizer. The
    last layer of a network is linear, $x W + b$.

    Args:
        weight: $W$, (in, out); `SirenDense.init` draws it.
        bias: $b$, (out,).
        omega: Frequency $\omega$, positive.
        layer_type: ``"first"``, ``"hidden"`` or ``"last"``; the last is linear.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a size or a constant is not positive, or the type is unknown.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = SirenDense.init(3, 8, key=jax.random.key(0), layer_type="first")
        >>> layer(jnp.ones((5, 3))).shape
        (5, 8)

    References:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein (2020), "Implicit neural
        representations with periodic activation functions", NeurIPS, section 3.2.
    """

    weight: Float[Array, "*plates d_in d_out"]
    bias: Float[Array, "*plates d_out"]
    omega: float = setting(check=_checks.positive, default=30.0)
    layer_type: Place = setting(check=_checks.choice(*PLACES), default="hidden")
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        in_features: int,
        out_features: int,
        *,
        key: PRNGKey,
        omega: float = 30.0,
        layer_type: Place = "hidden",
        c: float = 6.0,
        name: str | None = None,
    ) -> "SirenDense":
        r"""Draw the initial weights of a layer.

        Weights are uniform between $\pm 1 / \mathrm{in}$ in the first layer and between
        $\pm\sqrt{c / \mathrm{in}} / \omega$ in the others, biases between
        $\pm 1 / \sqrt{\mathrm{in}}$.

        Args:
            in_features: Size of the last axis of the input.
            out_features: Size of the last axis of the output.
            key: Random key of the weights.
            omega: Frequency $\omega$, positive.
            layer_type: ``"first"``, ``"hidden"`` or ``"last"``.
            c: Constant in the bound of the weights, positive.
            name: Accepted for uniformity and unused: there are no sites to prefix.
        """
        in_features = _checks.size("in_features", in_features)
        out_features = _checks.size("out_features", out_features)
        omega = _checks.positive("omega", omega)
        c = _checks.positive("c", c)
        key_weight, key_bias = random.split(key)
        limit = weight_bound(layer_type, in_features, omega, c)
        shape = (in_features, out_features)
        weight = random.uniform(key_weight, shape, minval=-limit, maxval=limit)
        limit = bias_bound(in_features)
        bias = random.uniform(key_bias, shape[1:], minval=-limit, maxval=limit)
        return cls(weight, bias, omega, layer_type, name)

    @property
    def in_features(self) -> int:
        """Size of the last axis of the input."""
        return self.weight.shape[-2]

    @property
    def out_features(self) -> int:
        """Size of the last axis of the output."""
        return self.weight.shape[-1]

    def __call__(self, x: Num[ArrayLike, "*batch d_in"]) -> Float[Array, "*rest d_out"]:
        """The layer's output; it can also be called outside a model."""
        x = as_float(x)
        _checks.last_axis("x", x, "in_features", self.in_features)
        return siren_layer(
            x, Site(self.weight), Site(self.bias), self.omega, self.layer_type
        )


def siren_layer(
    x: Float[Array, "*batch d_in"], weight: Site, bias: Site, omega: float, place: Place
) -> Float[Array, "*rest d_out"]:
    """A linear map, followed by a sine except in the last layer."""
    z = linear(x, weight, bias)
    return z if place == "last" else jnp.sin(omega * z)


class SIREN(eqx.Module):
    r"""A sinusoidal network with trainable weights, for signals and their derivatives.

    $$h_0 = x, \qquad h_{l+1} = \sin(\omega_l (h_l W_l + b_l)), \qquad
    y = h_{L-1} W_{L-1} + b_{L-1}$$

    This is a plain module without sites; in `BayesianSIREN` the weights have priors. The
    initial weights keep the distribution of activations constant across layers.

    Args:
        layers: The layers; `SIREN.init` creates them.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a size or a constant is not positive, or the depth is below two.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = SIREN.init(2, 16, 1, depth=3, key=jax.random.key(0))
        >>> net(jnp.ones((5, 2))).shape, len(net.layers)
        ((5, 1), 3)

    References:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein (2020), "Implicit neural
        representations with periodic activation functions", NeurIPS, equation 2 and
        section 3.2.
    """

    layers: tuple[SirenDense, ...]
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        in_features: int,
        hidden_features: int,
        out_features: int,
        *,
        depth: int,
        key: PRNGKey,
        first_omega: float = 30.0,
        hidden_omega: float = 30.0,
        c: float = 6.0,
        name: str | None = None,
    ) -> "SIREN":
        r"""Draw the weights of a network.

        Args:
            in_features: Size of the last axis of the input.
            hidden_features: Units of each hidden layer.
            out_features: Size of the last axis of the output.
            depth: Number of layers, including the readout, at least two.
            key: Random key of the weights.
            first_omega: Frequency $\omega_0$ of the first layer.
            hidden_omega: Frequency of the other layers.
            c: Constant in the bound of the weights.
            name: Accepted for uniformity and unused: there are no sites to prefix.
        """
        sizes = layer_sizes(in_features, hidden_features, out_features, depth)
        places, omegas = layer_places(depth, first_omega, hidden_omega)
        layers = [
            SirenDense.init(*size, key=k, omega=omega, layer_type=place, c=c)
            for size, k, omega, place in zip(
                sizes, random.split(key, len(sizes)), omegas, places, strict=True
            )
        ]
        return cls(tuple(layers), name)

    @property
    def in_features(self) -> int:
        """Size of the last axis of the input."""
        return self.layers[0].in_features

    @property
    def out_features(self) -> int:
        """Size of the last axis of the output."""
        return self.layers[-1].out_features

    def __call__(self, x: Num[ArrayLike, "*batch d_in"]) -> Float[Array, "*rest d_out"]:
        """The network's output; it can also be called outside a model."""
        h = as_float(x)
        for layer in self.layers:
            h = layer(h)
        return h


def layer_sizes(
    in_features: int, hidden_features: int, out_features: int, depth: int
) -> list[tuple[int, int]]:
    """Check the sizes; return input and output sizes of the layers."""
    in_features = _checks.size("in_features", in_features)
    hidden_features = _checks.size("hidden_features", hidden_features)
    out_features = _checks.size("out_features", out_features)
    depth = _checks.size("depth", depth)
    if depth < 2:
        raise ValueError(
            f"`depth` must be at least 2, a layer of sines and the readout, got {depth}."
        )
    sizes = [in_features] + (depth - 1) * [hidden_features] + [out_features]
    return list(pairwise(sizes))


def layer_places(
    depth: int, first_omega: float, hidden_omega: float
) -> tuple[list[Place], list[float]]:
    """Place and frequency of each layer."""
    depth = _checks.size("depth", depth)
    first_omega = _checks.positive("first_omega", first_omega)
    hidden_omega = _checks.positive("hidden_omega", hidden_omega)
    hidden: list[Place] = ["hidden"]
    omegas = [first_omega] + (depth - 1) * [hidden_omega]
    return ["first", *(depth - 2) * hidden, "last"], omegas
