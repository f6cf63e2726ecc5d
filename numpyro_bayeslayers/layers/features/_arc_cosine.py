"""Random features of the arc-cosine kernels."""

from typing import Any

import numpyro.distributions as dist
from jaxtyping import Array

from ... import _checks
from ..._settings import setting
from ...basis import arc_cosine_features
from ._fourier import AbstractRandomFeatures
from ._lengthscale import Lengthscale, checked_lengthscale


class ArcCosineFourierFeatures(AbstractRandomFeatures):
    r"""Rectified powers of random projections, which approximate an infinitely wide ReLU layer.

    $$\phi(x) = (2/M)^{1/2} \max(0,\, x W / \ell)^p, \qquad
    W_{ij} \sim N(0, 1),\quad \ell \sim \text{LogNormal}(\log \ell_0, 1)$$

    with the indicator of $x W > 0$ for $p = 0$. The mean inner product is Cho and Saul's
    kernel $\frac1\pi |u|^p |u'|^p J_p(\theta)$ at $u = x/\ell$, $u' = x'/\ell$ with the angle
    $\theta$ between them. The kernel is not stationary: append a constant input for a bias.

    Args:
        in_features: Size of the last axis of the input.
        n_features: Number of projections $M$.
        init_lengthscale: Median of the lengthscale's prior, positive, in the units of the
            input; shape (in,) gives one for each input. In `init` this argument is
            `lengthscale`.
        order: The power $p$: 0, 1 or 2.
        name: Prefix of the sites; the default is ``"arc_cosine_fourier_features"``.

    Sites:
        ``W`` of event shape (in, M); ``lengthscale`` of event shape (), or (in,) if
        `init_lengthscale` has that shape.

    Raises:
        ValueError: If a size or a lengthscale is not positive, if `order` is not 0, 1 or 2, if
            there are not as many lengthscales as inputs, or if the input's last axis is not
            `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = ArcCosineFourierFeatures.init(3, 50, order=2, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 50)

    References:
        Cho and Saul (2009), "Kernel methods for deep learning", NeurIPS, equations 1 to 6.

    Note:
        At order 0 the features are piecewise constant: gradients with respect to `W`, the
        lengthscale and the input are zero.
    """

    in_features: int = setting(check=_checks.size)
    n_features: int = setting(check=_checks.size)
    init_lengthscale: Lengthscale = setting(check=checked_lengthscale, default=1.0)
    order: int = setting(check=_checks.choice(0, 1, 2), default=1)
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        in_features: int,
        n_features: int,
        *,
        lengthscale: Any = 1.0,
        order: int = 1,
        name: str | None = None,
    ) -> "ArcCosineFourierFeatures":
        """Create the layer; `lengthscale` sets `init_lengthscale`."""
        lengthscale = checked_lengthscale("lengthscale", lengthscale)
        return cls(in_features, n_features, lengthscale, order, name)

    @property
    def num_outputs(self) -> int:
        """Number of features per row, `n_features`."""
        return self.n_features

    def _frequencies(self) -> dist.Distribution:
        return dist.Normal(0.0, 1.0).expand([self.in_features, self.n_features]).to_event(2)

    def _features(self, z: Array) -> Array:
        return arc_cosine_features(z, self.order)
