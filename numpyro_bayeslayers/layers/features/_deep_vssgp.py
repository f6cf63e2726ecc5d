"""Deep Gaussian processes with random features."""

import itertools

import numpyro.distributions as dist
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer
from ..._settings import setting
from ...primitives import linear, sample_site, scope
from ._lengthscale import Lengthscale, check_lengthscale, checked_lengthscale
from ._rbf import RBFFourierFeatures


class DeepVSSGP(AbstractRowLayer):
    r"""A deep Gaussian process: alternating random features and linear maps.

    $$h_0 = x, \qquad h_{l+1} = \phi_l(h_l)\,V_l, \qquad
    \phi_l(h) = M^{-1/2} [\cos(h W_l / \ell_l), \sin(h W_l / \ell_l)],$$

    $$W_l \sim N(0, 1),\quad \ell_l \sim \text{LogNormal}(\log \ell_0, 1),\quad
    V_l \sim N(0, s^2), \qquad l = 0..depth - 1$$

    Each layer is a sparse-spectrum Gaussian process of variance $s^2$.

    Args:
        in_features: Size of the last axis of the input.
        hidden_features: Width between layers.
        out_features: Size of the last axis of the output.
        depth: Number of layers, each of features and a linear map.
        n_features: Number of frequencies $M$ of each layer.
        init_lengthscale: Median of each lengthscale's prior, positive. In `init` this argument
            is `lengthscale`.
        prior_std: Standard deviation $s$ of the linear maps' priors, positive.
        name: Prefix of the sites; the default is ``"deep_vssgp"``.

    Sites:
        For each layer l from 0: ``layer_l.W`` of event shape (in_l, M),
        ``layer_l.lengthscale`` of event shape (), ``layer_l.weight`` of event shape
        (2 M, out_l).

    Raises:
        ValueError: If a size, a lengthscale or `prior_std` is not positive, or if the
            input's last axis is not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = DeepVSSGP.init(3, 2, 1, depth=2, n_features=16, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 1)

    References:
        Cutajar, Bonilla, Michiardi, Filippone (2017), "Random feature expansions for deep
        Gaussian processes", ICML, section 3.
    """

    in_features: int = setting(check=_checks.size)
    hidden_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    depth: int = setting(check=_checks.size)
    n_features: int = setting(check=_checks.size, default=64)
    init_lengthscale: Lengthscale = setting(check=checked_lengthscale, default=1.0)
    prior_std: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        check_lengthscale("init_lengthscale", self.init_lengthscale, 1)

    @classmethod
    def init(
        cls,
        in_features: int,
        hidden_features: int,
        out_features: int,
        *,
        depth: int,
        n_features: int = 64,
        lengthscale: float = 1.0,
        prior_std: float = 1.0,
        name: str | None = None,
    ) -> "DeepVSSGP":
        """Create the layer; `lengthscale` sets `init_lengthscale`."""
        sizes = (in_features, hidden_features, out_features, depth, n_features)
        lengthscale = checked_lengthscale("lengthscale", lengthscale)
        return cls(*sizes, lengthscale, prior_std, name)

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        hidden = (self.hidden_features,) * (self.depth - 1)
        widths = (self.in_features, *hidden, self.out_features)
        for layer, (d_in, d_out) in enumerate(itertools.pairwise(widths)):
            features = RBFFourierFeatures(d_in, self.n_features, self.init_lengthscale)
            with scope(prefix=f"layer_{layer}"):
                phi = features._rows(x)
                prior = dist.Normal(0.0, self.prior_std)
                shape = [features.num_outputs, d_out]
                x = linear(phi, sample_site("weight", prior.expand(shape).to_event(2)))
        return x
