"""Sinusoidal networks with priors."""

import math

import numpyro.distributions as dist
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer
from ..._settings import setting
from ...basis._fourier import as_float
from ...primitives import sample_site
from ._siren import (
    PLACES,
    Place,
    bias_bound,
    layer_places,
    layer_sizes,
    siren_layer,
    weight_bound,
)


class BayesianSIREN(AbstractRowLayer):
    r"""A sinusoidal network with normal priors on its weights.

    $$h_0 = x, \qquad h_{l+1} = \sin(\omega_l (h_l W_l + b_l)), \qquad
    y = h_{L-1} W_{L-1} + b_{L-1}$$

    The priors are centered; their standard deviations are `prior_std` times those of the
    uniform distributions of `SIREN`: $1 / (\sqrt{3}\, \mathrm{in})$ for weights of the first
    layer, $\sqrt{c / (3\, \mathrm{in})} / \omega$ for the others, $1 / \sqrt{3\, \mathrm{in}}$
    for biases.

    Args:
        in_features: Size of the last axis of the input.
        hidden_features: Units of each hidden layer.
        out_features: Size of the last axis of the output.
        depth: Number of layers, including the readout, at least two.
        first_omega: Frequency $\omega_0$ of the first layer, positive.
        hidden_omega: Frequency of the other layers, positive.
        c: Constant in the scale of the weights, positive.
        prior_std: Multiplier of the standard deviations, positive.
        name: Prefix of the sites; the default is ``"bayesian_siren"``.

    Sites:
        For each layer $i$ from 0, ``layer_{i}.weight`` (in, out), ``layer_{i}.bias`` (out,).

    Raises:
        ValueError: If a size or a constant is not positive, or the depth is below two.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> net = BayesianSIREN.init(2, 16, 1, depth=3, name="f")
        >>> seed(net, 0)(jnp.ones((5, 2))).shape
        (5, 1)

    References:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein (2020), "Implicit neural
        representations with periodic activation functions", NeurIPS, equation 2 and
        section 3.2, for the network and its scales.
    """

    in_features: int = setting(check=_checks.size)
    hidden_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    depth: int = setting(check=_checks.size)
    first_omega: float = setting(check=_checks.positive, default=30.0)
    hidden_omega: float = setting(check=_checks.positive, default=30.0)
    c: float = setting(check=_checks.positive, default=6.0)
    prior_std: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        layer_sizes(self.in_features, self.hidden_features, self.out_features, self.depth)
        layer_places(self.depth, self.first_omega, self.hidden_omega)

    @classmethod
    def init(
        cls,
        in_features: int,
        hidden_features: int,
        out_features: int,
        *,
        depth: int,
        first_omega: float = 30.0,
        hidden_omega: float = 30.0,
        c: float = 6.0,
        prior_std: float = 1.0,
        name: str | None = None,
    ) -> "BayesianSIREN":
        """Create the network with the signature of `SIREN.init`; nothing is drawn."""
        sizes = (in_features, hidden_features, out_features, depth)
        return cls(*sizes, first_omega, hidden_omega, c, prior_std, name)

    @property
    def layers(self) -> tuple["_BayesianSirenDense", ...]:
        """The layers, with the readout last.

        Each maps rows to rows and draws its sites when it is called: apply them in order inside
        ``scope(prefix=net.prefix)``.
        """
        sizes = layer_sizes(
            self.in_features, self.hidden_features, self.out_features, self.depth
        )
        places, omegas = layer_places(self.depth, self.first_omega, self.hidden_omega)
        return tuple(
            _BayesianSirenDense(*size, omega, place, self.c, self.prior_std, f"layer_{i}")
            for i, (size, omega, place) in enumerate(
                zip(sizes, omegas, places, strict=True)
            )
        )

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        for layer in self.layers:
            x = layer(x)
        return x


class _BayesianSirenDense(AbstractRowLayer):
    """One layer of a `BayesianSIREN`."""

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    omega: float = setting(check=_checks.positive)
    layer_type: Place = setting(check=_checks.choice(*PLACES))
    c: float = setting(check=_checks.positive)
    prior_std: float = setting(check=_checks.positive)
    name: str | None = setting(check=_checks.optional_label)

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        limit = weight_bound(self.layer_type, self.in_features, self.omega, self.c)
        # A uniform distribution between -a and a has standard deviation a / sqrt(3).
        factor = self.prior_std / math.sqrt(3)
        shape = (self.in_features, self.out_features)
        prior = dist.Normal(0.0, factor * limit).expand(shape).to_event(2)
        weight = sample_site("weight", prior)
        prior = dist.Normal(0.0, factor * bias_bound(self.in_features)).expand(shape[1:])
        bias = sample_site("bias", prior.to_event(1))
        return siren_layer(as_float(x), weight, bias, self.omega, self.layer_type)
